// What commands ask the person and the server.
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import * as vscode from 'vscode';
import { ask } from '../../src/commands/asks';
import { News } from '../../src/features/events';
import type { Api } from '../../src/extension';
import type { Claim, Event } from '../../src/model/wire';
import { Node, rowDecorations } from '../../src/views/node';
import type { PlansTree } from '../../src/views/plans';
import { begin, overview, person, project, registered, serve, type Call } from './begin';

const ROOT = 'file:///w/shop';
let api: Api;

before(async () => {
  api = await begin();
});

const plan = (state: string, more: object = {}) => ({
  plan_id: 'web-1', name: 'web', state, done: 1, total: 2, running: 0, failed: 0, target: 'main',
  tasks: [
    { id: 1, state: 'done', task: 'first', attempts: 1, attempt: 'a-1', worker: 'ada' },
    { id: 2, state: 'running', task: 'second', attempts: 1, attempt: 'a-2', worker: 'ben' },
  ],
  ...more,
});
const claim = (id: number, pattern: string, more: Partial<Claim> = {}): Claim => ({
  claim_id: id, pattern, mode: 'exclusive', holder: 'eve', holder_kind: 'person', since: '', expires_at: '', ...more,
});

function show(snapshot: object = {}): void {
  api.context.board.take(api.context.board.shown[0]!, { overview: overview(), plans: [], workers: [], conductors: [], ...snapshot });
}

function hold(claims: Claim[], total = claims.length): void {
  const { board } = api.context;
  Object.assign(board.rooms[0]!, { claims, totalClaims: total });
  (board as unknown as { claimsChanged: vscode.EventEmitter<void> }).claimsChanged.fire();
}

beforeEach(() => {
  const { board, server } = api.context;
  board.settle([]);
  // Nothing is asked by itself.
  server.state = 'stopped';
  board.settle([project(ROOT, 'p1')]);
});

const item = (id: string): vscode.StatusBarItem => registered.items.get(id)!;
const run = (id: string, ...args: unknown[]): Promise<unknown> => registered.commands.get(`kapell.${id}`)!(...args);
const rowOf = (one: ConstructorParameters<typeof Node>[0]): Node => Object.assign(new Node(one, ''), { root: ROOT });
const uri = (path: string): vscode.Uri => vscode.Uri.parse(`${ROOT}/${path}`);
const controls = (calls: Call[]): unknown[] => calls.filter(({ method }) => method === 'control').map(({ params }) => params);

test('stop, cancel, land and approve ask first, from rows and from lenses alike', async () => {
  show({ plans: [plan('running')] });
  const row = rowOf({ kind: 'plan', id: 'web-1', plan: plan('running') });
  const verdict = { attempts: [{ verdict: undefined }] };
  const calls = serve(api, ({ method }) => (method === 'status' ? verdict : { ack: true, message: 'done' }));
  let asked = person(undefined);
  await run('land', row);
  assert.deepEqual(asked, ['Land web? What is done of it goes onto main.']);
  assert.deepEqual(controls(calls), []);
  person('Land');
  await run('land', row);
  assert.deepEqual(controls(calls).splice(0), [{ action: 'land', target: 'web-1' }]);
  // The lenses of a plan file.
  const { guard } = api.context.server;
  for (const [action, question] of [['stop', /^Stop web\?/], ['land', /^Land web\?/]] as const) {
    const lens = [{ action, target: 'web-1' }, { uri: ROOT }];
    asked = person(undefined);
    assert.equal(await guard('kapell.control', lens), false);
    assert.match(asked[0]!, question);
    person(action === 'stop' ? 'Stop' : 'Land');
    assert.equal(await guard('kapell.control', lens), true);
  }
  asked = person();
  assert.equal(await guard('kapell.control', [{ action: 'pause', target: 'web-1' }]), true);
  assert.deepEqual(asked, []);
});

test('what is approved is told with what the judge says of it, and nothing else', async () => {
  const row = rowOf({ kind: 'task', id: 'web-1/2', task: plan('running').tasks[1]! });
  for (const [verdict, words] of [['rejected', 'although the judge refused it'], [undefined, 'although no judge has seen it']]) {
    api.context.board.settle([]);
    api.context.board.settle([project(ROOT, 'p1')]);
    (api.context.board as unknown as { attempts: Map<string, unknown> }).attempts.clear();
    serve(api, () => ({ attempts: [{ verdict: 'approved' }, { verdict }] }));
    const asked = person(undefined);
    await run('approve', row);
    assert.deepEqual(asked, [`Accept web-1/2 ${words}?`]);
  }
});

test('a stage that waits is a row, a badge, and can be approved or refused', async () => {
  show({ plans: [plan('paused', { reason: 'approval: stage deploy waits' })], stages: [{ run: 'web-1', stage: 'deploy' }] });
  const [row] = (await api.trees['attention']!.getChildren())!;
  assert.deepEqual([row?.label, row?.description, row?.contextValue], ['web: deploy', 'waits for your approval', 'stage.approval']);
  assert.equal((rowDecorations.provideFileDecoration(row!.resourceUri!, undefined as never) as vscode.FileDecoration).badge, '!');
  assert.equal(api.context.board.unseenNeeds.length, 1);
  const [planRow] = (await api.trees['plans']!.getChildren())!;
  assert.equal(planRow?.contextValue, 'plan.paused+left+done+approval');
  const calls = serve(api, ({ method }) => (method === 'pipeline' ? { message: 'stage deploy begins' } : {}));
  const decisions = (): unknown[] => calls.filter(({ method, params }) => method === 'pipeline' && params['action'] === 'approve').map(({ params }) => params);
  const asked = person('Approve');
  await run('approveStage', row);
  assert.deepEqual(decisions(), [{ action: 'approve', run: 'web-1', stage: 'deploy' }]);
  assert.deepEqual(asked, ['Let stage deploy of web-1 begin?', 'Kapell: stage deploy begins']);
  person('not on a Friday');
  await run('refuseStage', { plan_id: 'web-1', stage: 'deploy', root: ROOT });
  assert.deepEqual(decisions()[1], { action: 'approve', run: 'web-1', stage: 'deploy', refuse: true, message: 'not on a Friday' });
});

test('what the server warns of has a row', async () => {
  show({ overview: overview({ warnings: ['the disk is nearly full'] }) });
  const [row] = (await api.trees['attention']!.getChildren())!;
  assert.deepEqual([row?.label, row?.contextValue], ['the disk is nearly full', 'warning']);
  assert.equal(api.context.board.unseenNeeds.length, 0);
});

test('a task that is paused by itself says so, and its plan and the status bar count it', async () => {
  const tree = api.trees['plans'] as PlansTree;
  const shown = async (): Promise<(string | boolean | undefined)[]> => {
    const [row] = (await tree.getChildren())!;
    const one = (await tree.getChildren(row))![1]!;
    return [row?.description, one.description, one.contextValue, item('kapell.overview').text];
  };
  const with_ = (paused: boolean) => {
    const it = plan('running', { running: 1 });
    return { plans: [{ ...it, tasks: [it.tasks[0], { ...it.tasks[1], paused }] }] };
  };
  api.context.server.state = 'ready';
  show(with_(false));
  assert.deepEqual(await shown(), ['1 of 2, running, 1 at work', 'running, by ben', 'task.running+attempt', '$(sync~spin) Kapell 1/2']);
  const told: unknown[] = [];
  const listens = tree.onDidChangeTreeData((rows) => told.push(rows));
  show(with_(true));
  listens.dispose();
  assert.equal(told.length, 1);
  assert.deepEqual(await shown(), ['1 of 2, running, 1 paused', 'paused, by ben', 'task.paused+attempt', '$(debug-pause) Kapell 1/2, 1 paused']);
  assert.equal(item('kapell.overview').tooltip, 'web: 1 of 2 done, 1 paused');
  api.context.server.state = 'stopped';
});

test('a plan tells what failed from what waits for it', async () => {
  const tasks = [{ id: 1, state: 'failed', task: 'a', attempts: 1 }, { id: 2, state: 'blocked', task: 'b', attempts: 0, depends_on: [1] }];
  // Of a large plan not all tasks are known here.
  show({ plans: [plan('failed', { done: 0, failed: 9, blocked: 8, tasks })] });
  const [row] = (await api.trees['plans']!.getChildren())!;
  assert.equal(row?.description, '0 of 2, failed, 1 failed, 8 blocked');
  assert.equal(api.context.board.needs.length, 1);
  assert.equal(api.views['attention']!.badge?.tooltip, '1 needs you: 1 failed task');
});

test('stages that wait come from the overview; where it names no more, all are asked for', async () => {
  const stages = (n: number) => Array.from({ length: n }, (_, i) => ({ run: 'web-1', stage: `s${i}` }));
  const listed = { runs: [{ run: 'web-1', name: 'web', state: 'paused', to_approve: stages(7).map(({ stage }) => stage) }] };
  for (const [named, known, asked] of [[0, 0, 0], [2, 2, 0], [5, 7, 1]] as const) {
    const calls = serve(api, ({ method, params }) => {
      if (method === 'pipeline') return listed;
      // The overview does not name all plans.
      if (params['scope'] === 'overview') return overview({ to_approve: stages(named) });
      return params['scope'] === 'plan' ? plan('paused') : { workers: [], conductors: [] };
    });
    await api.context.board.refresh();
    assert.equal(api.context.board.needs.length, known);
    assert.equal(calls.filter(({ method }) => method === 'pipeline').length, asked);
  }
});

test('one failure is told once; who takes a file over is not told of it', () => {
  const news = new News(api.context.board);
  const event = (kind: string, data: object, more: Partial<Event> = {}): Event => ({ seq: 1, at: '', kind, text: '', data: { ...data }, plan_id: 'web-1', ...more });
  assert.equal(news.of(event('attempt.finished', { outcome: 'failed' })), undefined);
  assert.equal(news.of(event('task.state', { to: 'failed' }, { task: '1' }), 1000), 'needs-you');
  assert.equal(news.of(event('task.state', { to: 'blocked' }, { task: '2' }), 1001), undefined);
  assert.equal(news.of(event('plan.state', { state: 'failed' }), 1002), undefined);
  assert.equal(news.of(event('plan.state', { state: 'failed' }), 60_000), 'needs-you');
  assert.equal(news.of(event('stage.state', { stage: 'deploy', to: 'approval' })), 'approval');
  hold([claim(7, 'src/a.ts', { own: true }), claim(8, 'src/b.ts')]);
  hold([]);
  assert.equal(news.of(event('claim.taken', { claim: 7, by: 'eve', from_kind: 'person' })), 'taken');
  assert.equal(news.of(event('claim.taken', { claim: 8, by: 'me', from_kind: 'person' })), undefined);
  assert.equal(news.of(event('claim.asked', { claims: [8, 7], from_kinds: ['person'] })), 'asked');
  assert.equal(news.of(event('claim.asked', { claims: [8], from_kinds: ['person'] })), undefined);
  news.dispose();
});

test('several selected files are claimed, released and taken over together', async () => {
  const calls = serve(api, ({ method }) => (method === 'claim-files' ? { granted: true, claims: [], conflicts: [] } : { released: [1] }));
  const selected = [uri('src/a.ts'), uri('src/b.ts')];
  person();
  await run('claimFile', selected[0], selected);
  await run('releaseFile', selected[0], selected);
  person('mine now');
  await run('takeOver', selected[0], selected);
  await run('claimFile', selected[1], [selected[1]]);
  const paths = ['src/a.ts', 'src/b.ts'];
  assert.deepEqual(calls.map(({ method, params }) => [method, params]), [
    ['claim-files', { paths }], ['release-files', { paths }],
    ['claim-files', { paths, take_over: true, reason: 'mine now' }], ['claim-files', { paths: ['src/b.ts'] }],
  ]);
});

test('a file is waited for where one sees it, and no longer once it is taken over', async () => {
  const held = { '/w/shop/src/a.ts': { path: 'src/a.ts', claims: [claim(1, 'src/a.ts', { worker: 'ada', task: 'web-1/2' })] } };
  let ended = '';
  const calls = serve(api, ({ params }, token) => {
    if (params['wait_s'] === undefined) return { granted: true, claims: [], conflicts: [] };
    return new Promise((_, fail) => token!.onCancellationRequested(() => {
      ended = 'given up';
      fail(new Error('cancelled'));
    }));
  }, held);
  const asked = person('urgent');
  // The action of the server is carried out here.
  const waits = api.context.server.guard('kapell.ask', [{ uri: `${ROOT}/src/a.ts` }]);
  await new Promise((done) => setImmediate(done));
  assert.deepEqual(asked, ['Kapell: waiting for src/a.ts, held by ada (task web-1/2)']);
  await api.context.server.guard('kapell.ask', [{ uri: `${ROOT}/src/a.ts` }]);
  assert.equal(asked.at(-1), 'Kapell: you wait for src/a.ts already.');
  const offered: string[] = [];
  const window = vscode.window as unknown as Record<string, unknown>;
  const { showQuickPick } = window;
  window['showQuickPick'] = async (items: { label: string }[]) => void offered.push(...items.map(({ label }) => label));
  await run('fileMenu', uri('src/a.ts'));
  window['showQuickPick'] = showQuickPick;
  assert.ok(offered.some((label) => /Stop Waiting/.test(label)) && !offered.some((label) => /Ask for It/.test(label)), offered.join());
  await run('takeOver', uri('src/a.ts'));
  assert.equal(ended, 'given up');
  assert.equal(await waits, false);
  assert.deepEqual(calls.map(({ params }) => params['reason']), ['asked for in an editor', 'urgent']);
});

test('a wait that ends with its server is told', async () => {
  serve(api, async () => {
    throw Object.assign(new Error('Pending response rejected since connection got disposed'), { code: -32097 });
  }, { '/w/shop/src/a.ts': { path: 'src/a.ts', claims: [claim(1, 'src/a.ts')] } });
  person();
  await assert.rejects(ask(api.context, uri('src/a.ts')), { message: 'nobody waits for src/a.ts any more: the server ended; ask for it again' });
});

test('a wait that ends elsewhere is told as that, and one that began elsewhere can be given up here', async () => {
  const owner = { path: 'src/a.ts', claims: [claim(1, 'src/a.ts', { worker: 'ada' })], asked: true };
  const calls = serve(api, ({ method }) => (method === 'claim-files' ? { granted: false, claims: [], conflicts: [] } : { released: [], withdrawn: ['src/a.ts'] }),
    { '/w/shop/src/a.ts': owner });
  const asked = person();
  await api.context.server.guard('kapell.ask', [{ uri: `${ROOT}/src/a.ts` }]);
  assert.equal(asked.at(-1), 'Kapell: you wait for src/a.ts no longer.');
  const window = vscode.window as unknown as Record<string, unknown>;
  const { showQuickPick } = window;
  window['showQuickPick'] = async (items: { label: string }[]) => items.find(({ label }) => /Stop Waiting/.test(label));
  await run('fileMenu', uri('src/a.ts'));
  window['showQuickPick'] = showQuickPick;
  assert.deepEqual(calls.slice(1).map(({ method, params }) => [method, params]), [['release-files', { paths: ['src/a.ts'] }]]);
  window['activeTextEditor'] = { document: { uri: uri('src/a.ts') } };
  (api.context.board as unknown as { add(event: object): void }).add({ seq: 9, root: ROOT, at: '', kind: 'claim.asked', text: '' });
  await new Promise((done) => setImmediate(done));
  window['activeTextEditor'] = undefined;
  assert.deepEqual([item('kapell.owner').text, item('kapell.owner').tooltip], ['$(lock) ada $(bell)', 'src/a.ts is held by ada, ; you wait for it']);
});

test('a message to a worker is acknowledged', async () => {
  serve(api, () => ({ ack: true, message: 'ada (attempt a-1) hears it with its next call' }));
  const asked = person('look at the tests');
  await run('nudge', rowOf({ kind: 'task', id: 'web-1/2', task: plan('running').tasks[1]! }));
  assert.equal(asked.at(-1), 'Kapell: ada (attempt a-1) hears it with its next call');
});

test('the lens that checks a plan checks what stands in the editor', async () => {
  let saved = 0;
  const { workspace } = vscode as unknown as { workspace: { textDocuments: unknown[] } };
  workspace.textDocuments = [{ uri: uri('x.plan.json'), isDirty: true, save: async () => ++saved > 0 }];
  assert.equal(await api.context.server.guard('kapell.checkPlan', [{ uri: `${ROOT}/x.plan.json` }]), true);
  assert.equal(saved, 1);
  workspace.textDocuments = [];
});

test('the file in the editor is one pattern, whatever its name', async () => {
  const window = vscode.window as unknown as { activeTextEditor: unknown };
  const owners = { '/w/shop/src/[id]/p ge.ts': { path: 'src/[id]/p ge.ts', pattern: 'src/[[]id[]]/p ge.ts', claims: [] } };
  const calls = serve(api, () => ({ run_id: null, plan_id: 'x', started: [], waiting: [] }), owners);
  Object.assign(vscode.window, { setStatusBarMessage: () => undefined });
  window.activeTextEditor = { document: { uri: uri('src/[id]/p ge.ts') } };
  person('mend it', '=', 'auto');
  await run('sendTask');
  person('mend it', 'src/a.ts "sp ace.ts"', 'auto');
  await run('sendTask');
  window.activeTextEditor = undefined;
  assert.deepEqual(calls.map(({ params }) => params['files']), [['src/[[]id[]]/p ge.ts'], ['src/a.ts', 'sp ace.ts']]);
});

test('a claimed folder is shown in the explorer, a file is opened by its name', async () => {
  const shown: string[] = [];
  Object.assign(vscode.window, { showTextDocument: async (one: vscode.Uri) => void shown.push(one.path) });
  Object.assign(vscode.workspace, { fs: { stat: async (one: vscode.Uri) => ({ type: one.path.endsWith('docs') ? 2 : 1 }) } });
  hold([claim(1, 'docs'), claim(2, 'src/[[]id[]]/page.ts'), claim(3, 'src/*.ts')], 600);
  const rows = (await api.trees['claims']!.getChildren())!;
  assert.deepEqual(rows.map((row) => row.label), ['docs', 'src/[id]/page.ts', 'src/*.ts', 'and 597 more']);
  assert.deepEqual(rows.map((row) => row.contextValue), ['claim.person+file', 'claim.person+file', 'claim.person', 'more']);
  registered.executed.length = 0;
  await run('openClaimed', rows[0]);
  await run('openClaimed', rows[1]);
  assert.deepEqual(registered.executed.map(([id, one]) => [id, String(one)]), [['revealInExplorer', 'file:///w/shop/docs']]);
  assert.deepEqual(shown, ['/w/shop/src/[id]/page.ts']);
});

test('of files beyond the claims that are named, each is asked about', async () => {
  const held = { '/w/shop/src/z.ts': { path: 'src/z.ts', claims: [claim(600, 'src/z.ts')] } };
  serve(api, () => ({}), held);
  hold([claim(1, 'docs')], 600);
  const mark = async (path: string): Promise<string | undefined> =>
    (await api.decorations.provideFileDecoration(uri(path)) as vscode.FileDecoration | undefined)?.badge;
  assert.equal(await mark('docs/a.md'), 'EV');
  assert.equal(await mark('src/z.ts'), 'EV');
  hold([claim(1, 'docs')]);
  assert.equal(await mark('src/z.ts'), undefined);
});

test('how long ago something was is told anew as time goes by', async () => {
  const real = Date.now;
  try {
    hold([claim(1, 'docs', { since: new Date(real()).toISOString() })]);
    const tree = api.trees['claims']!;
    const [row] = (await tree.getChildren())!;
    assert.match(String(row?.description), /just now/);
    Date.now = () => real() + 180_000;
    (api.context.board as unknown as { minute: vscode.EventEmitter<void> }).minute.fire();
    assert.match(String(row?.description), /3 min/);
  } finally {
    Date.now = real;
  }
});

test('the configuration for other agents has the server\'s environment', async () => {
  const settings: Record<string, unknown> = { 'server.path': process.execPath, 'server.environment': { KAPELL_HOME: '/state' } };
  let copied = '';
  const had = vscode.workspace.getConfiguration;
  try {
    Object.assign(vscode.workspace, { getConfiguration: () => ({ get: (key: string, otherwise: unknown) => settings[key] ?? otherwise }) });
    Object.assign(vscode.env.clipboard, { writeText: async (text: string) => void (copied = text) });
    person();
    await run('copyMcpConfig');
  } finally {
    Object.assign(vscode.workspace, { getConfiguration: had });
  }
  assert.deepEqual(JSON.parse(copied), { mcpServers: { kapell: { command: process.execPath, args: ['mcp'], env: { KAPELL_HOME: '/state' } } } });
});

test('how the server is had is a document without changes to save', async () => {
  const opened: vscode.Uri[] = [];
  Object.assign(vscode.workspace, { openTextDocument: async (one: vscode.Uri) => (opened.push(one), { uri: one }) });
  Object.assign(vscode.window, { showTextDocument: async () => undefined });
  await run('install');
  const [document] = opened;
  assert.equal(document?.scheme, 'kapell');
  const text = await registered.providers.get('kapell')!.provideTextDocumentContent(document!, undefined as never);
  assert.match(String(text), /kapell\.server\.path/);
});
