// The manifest and the code say the same.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { before, test } from 'node:test';
import * as vscode from 'vscode';
import { projectOf } from '../../src/commands/context';
import type { Api } from '../../src/extension';
import { keepBadges } from '../../src/views/attention';
import { rowDecorations } from '../../src/views/node';
import type { PlansTree } from '../../src/views/plans';
import { begin, here, manifest, overview, project, registered } from './begin';

const { contributes } = manifest;
let api: Api;

function sources(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const file = path.join(folder, name);
    return statSync(file).isDirectory() ? sources(file) : [file];
  });
}
const code = sources(path.join(here, 'src')).map((file) => readFileSync(file, 'utf8')).join('\n');

before(async () => {
  api = await begin();
});

test('every command of the manifest is registered, and every registered one is in it', () => {
  const declared = contributes.commands.map((one: { command: string }) => one.command);
  const ours = [...registered.commands.keys()];
  // Those that the server's lenses and actions carry are for no menu.
  assert.deepEqual(ours.filter((id) => !id.startsWith('kapell.ui.')).sort(), [...declared].sort());
  for (const id of ['showDiff', 'openLog', 'takeOver', 'showVerdict', 'owner', 'openDocument', 'followLog', 'openPlan', 'openTask']) {
    assert.ok(registered.commands.has(`kapell.ui.${id}`), id);
  }
});

test('no command has an id of the server, which the client registers itself', () => {
  const methods = readdirSync(path.join(here, 'protocol-methods')).map((name) => name.split('.')[0]);
  assert.ok(methods.length > 5);
  for (const method of new Set(methods)) {
    // `kapell.dispatch` and the like would clash.
    assert.ok(!registered.commands.has(`kapell.${method}`), `kapell.${method} is the server's`);
  }
});

test('menus, keys and walkthroughs name commands that exist', () => {
  const declared = new Set(contributes.commands.map((one: { command: string }) => one.command));
  const used = [
    ...Object.values(contributes.menus).flat(), ...contributes.keybindings,
  ].map((one) => (one as { command: string }).command);
  for (const id of used) assert.ok(declared.has(id) || /^kapell\.\w+\.focus$/.test(id), id);
  const text = JSON.stringify([contributes.viewsWelcome, contributes.walkthroughs]);
  for (const [, id] of text.matchAll(/command:(kapell\.[\w.]+)/g)) assert.ok(declared.has(id), id);
  for (const { command, when } of contributes.menus.commandPalette) assert.ok(when, command);
});

test('rows of menus match rows that there are', () => {
  const states = {
    plan: ['draft', 'running', 'paused', 'done', 'failed', 'stopped'],
    task: ['waiting', 'ready', 'running', 'judging', 'rejected', 'approved', 'landing', 'done', 'failed', 'blocked', 'cancelled'],
    attempt: ['starting', 'running', 'paused', 'stopping', 'finished'],
    worker: ['idle', 'busy', 'rate-limited', 'over-budget', 'unhealthy', 'stopped'],
    conductor: ['queued', 'running', 'paused', 'stopping', 'stopped', 'crashed'],
    stage: ['approval'],
    claim: ['own', 'attempt', 'agent', 'person'],
  };
  const values = Object.entries(states).flatMap(([kind, all]) => all.flatMap((state) => [
    `${kind}.${state}`, `${kind}.${state}+done`, `${kind}.${state}+left+done+approval`, `${kind}.${state}+attempt`, `${kind}.${state}+attempt+worktree`, `${kind}.${state}+file`,
  ]));
  for (const { command, when } of contributes.menus['view/item/context']) {
    const expression = /viewItem =~ \/(.*)\//.exec(when)?.[1];
    assert.ok(expression, when);
    const matching = values.filter((value) => new RegExp(expression).test(value));
    assert.ok(matching.length > 0, `${command}: ${when}`);
  }
});

test('a row offers what the server will do, and dots stand where something is asked', () => {
  const offered = (value: string): string[] => [...new Set(
    (contributes.menus['view/item/context'] as { command: string; when: string }[])
      .filter(({ when }) => new RegExp(/viewItem =~ \/(.*)\//.exec(when)![1]!).test(value))
      .map(({ command }) => command.replace('kapell.', '')),
  )];
  const table: [string, string[], string[]][] = [
    ['task.ready', ['cancel'], ['pause', 'judgeWork', 'stop', 'resume']],
    ['task.waiting', ['cancel'], ['pause', 'judgeWork']],
    ['task.running+attempt', ['pause', 'stop', 'nudge'], ['judgeWork', 'resume']],
    ['task.paused+attempt', ['resume', 'stop', 'cancel'], ['pause', 'nudge']],
    ['task.failed+attempt', ['retry', 'approve', 'judgeWork'], ['pause']],
    ['task.blocked', ['retry', 'cancel'], ['approve', 'judgeWork']],
    ['worker.idle', [], ['pause', 'resume']],
    ['worker.idle+protected', [], ['pause']],
    ['worker.busy', ['pause'], ['resume']],
    ['worker.stopped', ['resume'], ['pause']],
    ['attempt.finished+attempt+worktree', ['openWorktree'], ['judgeWork', 'pause']],
    ['attempt.finished+attempt+left', ['judgeWork'], []],
    ['plan.draft', ['startPlan'], ['land', 'judgeWork', 'stop']],
    ['plan.running', ['pause', 'stop'], ['land', 'judgeWork', 'resume']],
    ['plan.done+left+done', ['land', 'judgeWork'], ['stop', 'approveStage']],
    ['plan.paused+left', ['resume'], ['land', 'approveStage']],
    ['plan.stopped+left', ['resume'], ['startPlan']],
    // Going on is what the approval does.
    ['plan.paused+left+done+approval', ['approveStage', 'refuseStage', 'land'], ['resume']],
    ['stage.approval', ['approveStage', 'refuseStage'], []],
  ];
  for (const [value, yes, no] of table) {
    const all = offered(value);
    for (const id of yes) assert.ok(all.includes(id), `${value} offers no ${id}`);
    for (const id of no) assert.ok(!all.includes(id), `${value} offers ${id}`);
  }
  const title = new Map(contributes.commands.map((one: { command: string; title: string }) => [one.command, one.title]));
  for (const id of ['pause', 'resume', 'retry', 'judgeWork', 'startPlan']) assert.doesNotMatch(String(title.get(`kapell.${id}`)), /…/, id);
  for (const id of ['stop', 'land', 'cancel', 'approve', 'nudge', 'approveStage', 'refuseStage']) assert.match(String(title.get(`kapell.${id}`)), /…$/, id);
});

test('contexts that the manifest asks for are set by the code', () => {
  const whens = [...JSON.stringify(contributes).matchAll(/kapell\.(ready|state|failure|fileOwner|anyProject)/g)].map(([key]) => key);
  for (const key of new Set(whens)) assert.ok(code.includes(`'${key}'`), key);
  assert.equal(registered.contexts.get('kapell.state'), 'noFolder');
  assert.equal(registered.contexts.get('kapell.ready'), false);
});

test('settings that are read are declared, and those that are declared are read', () => {
  const declared = Object.keys(contributes.configuration.properties);
  for (const key of registered.settings) assert.ok(declared.includes(key), `${key} is not declared`);
  for (const key of declared) {
    const name = key.slice('kapell.'.length);
    // The client reads the trace by itself.
    assert.ok(name === 'trace.server' || code.includes(`'${name}'`), `${key} is not read`);
  }
  const restricted: string[] = manifest.capabilities.untrustedWorkspaces.restrictedConfigurations;
  assert.deepEqual(restricted.filter((key) => !declared.includes(key)), []);
  for (const key of declared.filter((one) => one.startsWith('kapell.server.'))) assert.ok(restricted.includes(key), key);
});

test('views of the manifest are made, and have a word of welcome or rows', () => {
  const declared = contributes.views.kapell.map((view: { id: string }) => view.id).sort();
  assert.deepEqual(registered.views.map((view) => view.id).sort(), declared);
});

test('every file that the manifest names is there', () => {
  const files = [manifest.icon, contributes.viewsContainers.activitybar[0].icon];
  for (const step of contributes.walkthroughs[0].steps) {
    files.push(...(typeof step.media.image === 'object' ? Object.values(step.media.image) : [step.media.markdown]));
  }
  for (const file of files) assert.ok(existsSync(path.join(here, file as string)), String(file));
  for (const { url } of [...contributes.jsonValidation, ...contributes.yamlValidation]) {
    const schema = JSON.parse(readFileSync(path.join(here, url), 'utf8'));
    assert.ok(schema.properties.tasks, url);
  }
});

test('without a server the views are empty and nothing breaks', async () => {
  assert.equal(api.context.server.state, 'noFolder');
  for (const tree of Object.values(api.trees)) assert.deepEqual(await tree.getChildren(undefined), []);
  await assert.rejects(api.context.server.call('status', {}), /the server is not running: no folder is open/);
});

test('rows show state, worker, tries; badges tell needs from ends', async () => {
  const { board } = api.context;
  board.settle([project('file:///w/shop', 'p1')]);
  board.take(board.shown[0]!, {
    overview: overview(),
    plans: [{
      plan_id: 'web-1', name: 'web', state: 'running', done: 1, total: 3, running: 1, failed: 1,
      tasks: [
        { id: 1, state: 'done', task: 'first', attempts: 1, attempt: 'a-1', worker: 'ada' },
        { id: 'two', state: 'running', task: 'second', attempts: 2, attempt: 'a-2', worker: 'ben' },
        { id: 3, state: 'failed', task: 'third', attempts: 3, attempt: 'a-3', reason: 'lint' },
      ],
    }],
    workers: [{ worker: 'ada', provider: 'claude', state: 'idle', protected: true }],
    conductors: [],
  });
  const attention = { } as vscode.TreeView<never>;
  const plans = { } as vscode.TreeView<never>;
  keepBadges(board, attention, plans);
  board.unseen.add('web-1/1');
  const tree = api.trees['plans'] as PlansTree;
  const [plan] = (await tree.getChildren())!;
  assert.equal(plan?.contextValue, 'plan.running+left+done');
  assert.equal(plan?.description, '1 of 3, running, 1 at work, 1 failed');
  const rows = (await tree.getChildren(plan))!;
  assert.deepEqual(rows.map((row) => [row.label, row.description, row.contextValue]), [
    ['1  first', 'done', 'task.done+attempt'],
    ['two  second', 'running, by ben, try 2', 'task.running+attempt'],
    ['3  third', 'failed, try 3', 'task.failed+attempt'],
  ]);
  const marks = rows.map((row) => (rowDecorations.provideFileDecoration(row.resourceUri!, undefined as never) as vscode.FileDecoration | undefined)?.badge);
  assert.deepEqual(marks, ['✓', undefined, '!']);
  assert.deepEqual((await api.trees['attention']!.getChildren())!.map((row) => row.description), ['lint']);

  // A row that stays is changed in place: drawn anew as a whole, the editor would know none for a moment.
  const told: (object[] | undefined)[] = [];
  const listens = tree.onDidChangeTreeData((changed) => told.push(changed));
  const fire = (): void => (board as unknown as { changed: vscode.EventEmitter<void> }).changed.fire();
  const [room] = board.rooms;
  const known = room!.snapshot!;
  fire();
  assert.deepEqual(told, []);
  room!.snapshot = { ...known, plans: known.plans!.map((one) => ({ ...one, done: 2 })) };
  fire();
  assert.equal(told.length, 1);
  assert.equal(told[0]![0], plan);
  assert.equal(plan?.description, '2 of 3, running, 1 at work, 1 failed');
  room!.snapshot = { ...known, plans: [] };
  fire();
  assert.deepEqual(told.slice(1), [undefined]);
  room!.snapshot = known;
  listens.dispose();

  board.markSeen();
  assert.equal(attention.badge, undefined);
  board.unseen.add('web-1/1');
  (board as unknown as { changed: vscode.EventEmitter<void> }).changed.fire();
  assert.deepEqual(plans.badge, { value: 1, tooltip: '1 finished' });
  (board as unknown as { add(event: object): void }).add({
    seq: 9, root: 'file:///w/shop', at: '', kind: 'task.state', plan_id: 'web-1', task: '3', text: '', data: { to: 'failed' },
  });
  (board as unknown as { changed: vscode.EventEmitter<void> }).changed.fire();
  assert.deepEqual(attention.badge, { value: 1, tooltip: '1 needs you: 1 failed task' });
  assert.equal(plans.badge, undefined);
});

test('several projects: rows below their names, files found in theirs, worktrees once', async () => {
  const { board } = api.context;
  const claim = (id: number, pattern: string) => ({
    claim_id: id, pattern, mode: 'exclusive', holder: 'ada', holder_kind: 'agent', since: '', expires_at: '',
  });
  const at = (root: string, project: string, folders: { uri: string; path: string }[]) =>
    ({ root, project, name: root.split('/').at(-1)!, folders });
  const top = (root: string) => [{ uri: root, path: '' }];
  board.settle([
    at('file:///w/shop', 'p1', [{ uri: 'file:///link', path: 'web' }]),
    at('file:///w/other/shop', 'p2', top('file:///w/other/shop')),
    // A worktree of the first, and a file of somebody else's repository.
    at('file:///w/shop-2', 'p1', top('file:///w/shop-2')),
    at('file:///lib', 'p3', []),
  ]);
  assert.deepEqual(board.shown.map((room) => board.nameOf(room)), ['w/shop', 'other/shop']);
  board.rooms[0]!.claims = [claim(1, 'web/a.ts')];
  board.rooms[1]!.claims = [claim(2, 'src')];
  board.rooms[2]!.claims = [claim(1, 'web/a.ts')];
  const tree = api.trees['claims']!;
  const groups = (await tree.getChildren())!;
  assert.deepEqual(groups.map((row) => [row.label, row.description, row.contextValue]), [
    ['w/shop', '1', 'project'], ['other/shop', '1', 'project'],
  ]);
  const [row] = (await tree.getChildren(groups[1]))!;
  assert.deepEqual([row?.label, row?.root], ['src', 'file:///w/other/shop']);
  const place = (uri: string) => {
    const found = board.place(vscode.Uri.parse(uri));
    return found && [found.room.project.root, found.path];
  };
  assert.deepEqual(place('file:///link/a.ts'), ['file:///w/shop', 'web/a.ts']);
  assert.deepEqual(place('file:///w/shop/web/a.ts'), ['file:///w/shop', 'web/a.ts']);
  assert.deepEqual(place('file:///w/shop-2/web/a.ts'), ['file:///w/shop-2', 'web/a.ts']);
  assert.deepEqual(place('file:///lib/x'), ['file:///lib', 'x']);
  assert.equal(place('file:///w/shopping/x'), undefined);
  // Both checkouts of the first mark the file, by the claim that holds it in all of them.
  (board as unknown as { claimsChanged: vscode.EventEmitter<void> }).claimsChanged.fire();
  const mark = (uri: string) => (api.decorations.provideFileDecoration(vscode.Uri.parse(uri)) as vscode.FileDecoration | undefined)?.badge;
  assert.deepEqual(['file:///link/a.ts', 'file:///w/shop-2/web/a.ts', 'file:///w/other/shop/src/b', 'file:///w/other/shop/web/a.ts'].map(mark), ['AD', 'AD', 'AD', undefined]);
  // A command goes by its row, then by the file in the editor; where neither tells, it asks.
  const window = vscode.window as unknown as { activeTextEditor: unknown; showQuickPick: unknown };
  const asked: string[][] = [];
  window.showQuickPick = async (items: { label: string; description: string }[]) => {
    asked.push(items.map(({ label, description }) => `${label} ${description}`));
    return items[1];
  };
  const meant = (given?: unknown): Promise<string | undefined> => projectOf(api.context, given, 'Which?');
  assert.equal(await meant(), 'file:///w/other/shop');
  assert.deepEqual(asked, [['w/shop /w/shop', 'other/shop /w/other/shop']]);
  window.activeTextEditor = { document: { uri: vscode.Uri.parse('file:///link/a.ts') } };
  assert.equal(await meant(), 'file:///w/shop');
  assert.equal(await meant(row), 'file:///w/other/shop');
  window.activeTextEditor = { document: { uri: vscode.Uri.parse('file:///elsewhere/a.ts') } };
  assert.equal(await meant(), 'file:///w/other/shop');
  window.activeTextEditor = undefined;
  assert.equal(asked.length, 2);
  // A folder that goes takes its rows along; a single one has no row of its own.
  board.settle([at('file:///w/other/shop', 'p2', top('file:///w/other/shop'))]);
  assert.deepEqual((await tree.getChildren())!.map((one) => one.label), ['src']);
  assert.equal(await meant(), 'file:///w/other/shop');
  assert.equal(asked.length, 2);
  board.settle([]);
  assert.deepEqual(await tree.getChildren(), []);
  await assert.rejects(meant(), /no folder of this window is a project/);
});
