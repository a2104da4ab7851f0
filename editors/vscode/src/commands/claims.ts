// Owning files: claim, release, take over.
import * as vscode from 'vscode';
import { nameOfPattern } from '../model/pattern';
import { count, holderOf } from '../model/text';
import type { Claim, ClaimConflict, ClaimResult } from '../model/wire';
import { ask, isAwaited, stopWaiting, withdraw } from './asks';
import {
  byProject, command, fileOf, nameOfAll, pathOf, pathsOf, projectOf, rootOf, say, subjectOf, type Context, type Target,
} from './context';

export function registerClaims(context: Context): void {
  const { server } = context;

  command(context, 'kapell.claimFile', async (given: unknown, selected: unknown) => {
    for (const targets of byProject(context, await pathsOf(context, given, selected))) await claim(context, targets);
  });

  command(context, 'kapell.claimPattern', async (given: unknown) => {
    const about = await projectOf(context, given, 'Claim files of which project?');
    if (about === undefined) return;
    const pattern = await vscode.window.showInputBox({
      title: 'Claim files', prompt: 'A path, a folder or a pattern', placeHolder: 'src/db/**/*.rs',
    });
    if (!pattern) return;
    const reason = await vscode.window.showInputBox({ title: 'Why? (may be left empty)' });
    if (reason !== undefined) await claim(context, [{ id: pattern, about }], reason);
  });

  command(context, 'kapell.releaseFile', async (given: unknown, selected: unknown) => {
    for (const targets of byProject(context, await pathsOf(context, given, selected))) {
      const paths = targets.map(({ id }) => id);
      const { released } = await server.call<{ released: number[] }>('release-files', { paths }, targets[0]?.about);
      if (released.length === 0) await say(`you hold no claim of ${nameOfAll(targets)} ${targets.length === 1 ? 'itself' : 'themselves'}.`);
    }
  });

  command(context, 'kapell.releaseAll', async () => {
    const all = await Promise.all(context.board.rooms.map(({ project }) =>
      server.call<{ released: number[] }>('release-files', { all: true }, project.root)));
    await say(`${count(new Set(all.flatMap(({ released }) => released)).size, 'claim')} released.`);
  });

  command(context, 'kapell.releaseClaim', async (given: unknown) => {
    const subject = subjectOf(given);
    if (subject?.kind !== 'claim') return;
    await server.call('release-files', { claim_ids: [subject.claim.claim_id] }, rootOf(given));
  });

  command(context, 'kapell.takeOver', async (given: unknown, selected: unknown) => {
    const targets = await pathsOf(context, given, selected);
    const uri = targets.length === 1 ? fileOf(given) : undefined;
    const owner = uri && (await context.ownership.of(uri));
    await takeOver(context, targets, owner?.claims.find((one) => !one.own));
  });

  // Lenses and code actions of the server carry this one.
  command(context, 'kapell.ui.takeOver', async (given: { uri?: string }) => {
    const uri = given.uri ? vscode.Uri.parse(given.uri) : undefined;
    const owner = uri ? await context.ownership.of(uri) : undefined;
    await takeOver(context, [await pathOf(context, uri)], owner?.claims.find((one) => !one.own));
  });

  command(context, 'kapell.takeOverClaim', async (given: unknown) => {
    const subject = subjectOf(given);
    if (subject?.kind !== 'claim') return;
    await takeOver(context, [{ id: subject.claim.pattern, about: rootOf(given) }], subject.claim);
  });

  command(context, 'kapell.openClaimed', async (given: unknown) => {
    const subject = subjectOf(given);
    const root = rootOf(given);
    if (subject?.kind !== 'claim' || root === undefined) return;
    const { pattern } = subject.claim;
    const uri = vscode.Uri.joinPath(vscode.Uri.parse(root), nameOfPattern(pattern) ?? pattern);
    const there = await vscode.workspace.fs.stat(uri).then(undefined, () => undefined);
    if (!there) throw new Error(`there is no ${nameOfPattern(pattern) ?? pattern} yet`);
    // A folder has no text: it is shown where it lies.
    if (there.type & vscode.FileType.Directory) await vscode.commands.executeCommand('revealInExplorer', uri);
    else await vscode.window.showTextDocument(uri);
  });

  const menu = (given: unknown): Promise<void> => fileMenu(context, given);
  command(context, 'kapell.fileMenu', menu);
  command(context, 'kapell.ui.owner', async (given: { uri?: string }) =>
    menu(given.uri ? vscode.Uri.parse(given.uri) : undefined));
}

/** Claims files of one project. */
async function claim(context: Context, targets: Target[], reason?: string): Promise<void> {
  const paths = targets.map(({ id }) => id);
  const result = await context.server.call<ClaimResult>(
    'claim-files', reason ? { paths, reason } : { paths }, targets[0]?.about,
  );
  if (!result.granted) await tellConflict(context, result.conflicts[0], targets);
}

async function tellConflict(context: Context, conflict: ClaimConflict | undefined, targets: Target[] = []): Promise<void> {
  if (!conflict) return;
  const what = conflict.witness ?? conflict.pattern;
  const buttons = targets.length === 0 ? [] : ['Take Over'];
  const none = targets.length > 1 ? ', so none of them is claimed' : '';
  const answer = await vscode.window.showWarningMessage(
    `Kapell: ${what} is held by ${holderOf(conflict)}${none}.`, ...buttons,
  );
  if (answer === 'Take Over') await takeOver(context, targets, targets.length === 1 ? conflict : undefined);
}

/** Takes files over; whoever held them is told the reason, so there must be one. */
async function takeOver(
  context: Context, targets: Target[], held: Pick<Claim, 'holder' | 'task' | 'reason' | 'worker'> | undefined,
): Promise<void> {
  const from = held ? ` from ${holderOf(held)}` : '';
  const reason = await vscode.window.showInputBox({
    title: `Take ${nameOfAll(targets)} over${from}`,
    prompt: 'Why? The holder is told.',
    validateInput: (text) => (text.trim() === '' ? 'A reason is needed.' : undefined),
  });
  if (!reason?.trim()) return;
  for (const some of byProject(context, targets)) {
    // What is taken is waited for no longer: the claim is to be this one, with this reason.
    await Promise.all(some.map((target) => withdraw(context, target)));
    const result = await context.server.call<ClaimResult>('claim-files', {
      paths: some.map(({ id }) => id), take_over: true, reason: reason.trim(),
    }, some[0]?.about);
    if (!result.granted) await tellConflict(context, result.conflicts[0]);
  }
}

/** All that can be done with a file, from the status bar and the lens. */
async function fileMenu(context: Context, given: unknown): Promise<void> {
  const uri = fileOf(given);
  const owner = uri && (await context.ownership.of(uri));
  if (!uri || !owner?.path) throw new Error('this file belongs to no project');
  const held = owner.claims.find((one) => !one.own);
  const own = owner.claims.some((one) => one.own);
  const attempt = held?.holder_kind === 'attempt' ? (held.attempt ?? held.holder) : undefined;
  const items: (vscode.QuickPickItem & { run: () => unknown })[] = [];
  const add = (label: string, id: string, ...args: unknown[]): void => {
    items.push({ label, run: () => vscode.commands.executeCommand(id, ...args) });
  };
  if (held) {
    add('$(person) Take Over…', 'kapell.takeOver', uri);
    const target = { id: owner.pattern ?? owner.path, name: owner.path, about: uri.toString() };
    items.push(isAwaited(context, target, owner)
      ? { label: '$(bell-slash) Stop Waiting for It', run: () => stopWaiting(context, target) }
      : { label: '$(bell) Ask for It: Claim It Once It Is Free', run: () => ask(context, uri) });
  }
  if (!held && !own) add('$(lock) Claim', 'kapell.claimFile', uri);
  if (own) add('$(unlock) Release', 'kapell.releaseFile', uri);
  if (attempt !== undefined) {
    add('$(diff) Show What It Changed So Far', 'kapell.showDiff', attempt);
    add('$(output) Open Its Log', 'kapell.openLog', attempt);
  }
  add('$(list-tree) Show All Claims', 'kapell.claims.focus');
  const title = held ? `${owner.path}: held by ${holderOf(held)}` : `${owner.path}: ${own ? 'yours' : 'free'}`;
  await (await vscode.window.showQuickPick(items, { title }))?.run();
}
