// Files that are asked for: waited for here, so that one sees the wait and can give it up.
import * as vscode from 'vscode';
import { holderOf } from '../model/text';
import type { ClaimResult, Owner } from '../model/wire';
import { pathOf, say, type Context, type Target } from './context';

/** So long a file is waited for. */
const WAIT_S = 3600;
/** The server ended before it answered, as the client says it. */
const NO_ANSWER = -32097;

interface Wait {
  source: vscode.CancellationTokenSource;
  /** It is over, however it ended. */
  over: Promise<unknown>;
}

const waiting = new Map<string, Wait>();

function keyOf(context: Context, { id, about }: Target): string {
  const root = about === undefined ? undefined : context.board.place(vscode.Uri.parse(about))?.room.project.root;
  return `${root ?? about ?? ''} ${id}`;
}

/** Claims a file as soon as it is free. */
export async function ask(context: Context, uri: vscode.Uri, reason = 'asked for in an editor'): Promise<void> {
  const target = await pathOf(context, uri);
  const name = target.name ?? target.id;
  const key = keyOf(context, target);
  if (waiting.has(key)) {
    await say(`you wait for ${name} already.`);
    return;
  }
  const owner = await context.ownership.of(uri);
  const held = owner?.claims.find((claim) => !claim.own);
  if (!held && owner?.claims.some((claim) => claim.own)) {
    await say(`${name} is yours already.`);
    return;
  }
  const source = new vscode.CancellationTokenSource();
  const began = Date.now();
  const wish = { paths: [target.id], wait_s: WAIT_S, reason };
  const answer = context.server.call<ClaimResult>('claim-files', wish, target.about, source.token).then(
    ({ granted }) => granted,
    (error: unknown) => {
      if (source.token.isCancellationRequested) return false;
      if ((error as { code?: number }).code === NO_ANSWER) throw new Error(`nobody waits for ${name} any more: the server ended; ask for it again`);
      throw error;
    },
  );
  waiting.set(key, { source, over: answer.catch(() => undefined).finally(() => waiting.delete(key)) });
  const title = `Kapell: waiting for ${name}${held ? `, held by ${holderOf(held)}` : ''}`;
  const granted = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title, cancellable: true },
    (_progress, token) => {
      token.onCancellationRequested(() => source.cancel());
      return answer;
    },
  );
  if (source.token.isCancellationRequested) return;
  // The action of the server ends the wait as well, and so does another window.
  const isOver = Date.now() - began >= (WAIT_S - 1) * 1000;
  const end = isOver ? `${name} did not become free in an hour.` : `you wait for ${name} no longer.`;
  // Not waited for: it may stay there.
  void say(granted ? `${name} is yours now.` : end);
}

/** Whether the person waits for it, in this window or in another one. */
export function isAwaited(context: Context, target: Target, owner: Owner): boolean {
  return owner.asked === true || waiting.has(keyOf(context, target));
}

/** Gives up waiting, wherever that was begun. */
export async function stopWaiting(context: Context, target: Target): Promise<void> {
  await withdraw(context, target);
  const owner = await context.ownership.of(vscode.Uri.parse(target.about ?? ''));
  if (owner?.asked) await context.server.call('release-files', { paths: [target.id] }, target.about);
}

/** Gives up waiting here for what is had in another way now. */
export async function withdraw(context: Context, target: Target): Promise<void> {
  const wait = waiting.get(keyOf(context, target));
  wait?.source.cancel();
  await wait?.over;
}
