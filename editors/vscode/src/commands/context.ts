// What commands share, and how they find out what they are about.
import * as vscode from 'vscode';
import type { Documents } from '../features/documents';
import type { Logs } from '../features/log';
import type { Ownership } from '../features/ownership';
import type { Board } from '../model/board';
import { sentence } from '../model/text';
import type { PlanStatus } from '../model/wire';
import type { Connection } from '../server/connection';
import { Node, type Subject } from '../views/node';

export interface Context {
  extension: vscode.ExtensionContext;
  server: Connection;
  board: Board;
  ownership: Ownership;
  documents: Documents;
  logs: Logs;
  events: vscode.LogOutputChannel;
}

/** Registers a command; what goes wrong in it is told in a sentence. */
export function command(
  context: Context, id: string, action: (...args: never[]) => unknown,
): void {
  context.extension.subscriptions.push(
    vscode.commands.registerCommand(id, async (...args: never[]) => {
      try {
        return await action(...args);
      } catch (error) {
        context.server.log.warn(`${id}: ${sentence(error)}`);
        await tellError(context, error);
        return undefined;
      }
    }),
  );
}

async function tellError(context: Context, error: unknown): Promise<void> {
  const buttons = context.server.state === 'ready' ? [] : ['Restart Server', 'Show Log'];
  const answer = await vscode.window.showErrorMessage(`Kapell: ${sentence(error)}`, ...buttons);
  if (answer === 'Restart Server') await context.server.restart();
  if (answer === 'Show Log') context.server.log.show();
}

export function say(text: string, ...buttons: string[]): Thenable<string | undefined> {
  return vscode.window.showInformationMessage(`Kapell: ${text}`, ...buttons);
}

/** The file that a command of an editor or of the explorer is about. */
export function fileOf(given: unknown): vscode.Uri | undefined {
  if (given instanceof vscode.Uri) return given;
  return vscode.window.activeTextEditor?.document.uri;
}

/** What something is, and in which project: a file or folder of it. */
export interface Target {
  id: string;
  /** What people call it, if that is something else. */
  name?: string;
  about: string | undefined;
}

/** All files that are meant: where several are selected in the explorer, each of them. */
export async function pathsOf(context: Context, given: unknown, selected: unknown): Promise<Target[]> {
  const uris = Array.isArray(selected) && selected.length > 1 ? selected.filter((one) => one instanceof vscode.Uri) : [given];
  return Promise.all(uris.map((uri) => pathOf(context, uri)));
}

/** The same by their projects, as one call is about one. */
export function byProject(context: Context, targets: Target[]): Target[][] {
  const projects = new Map<string, Target[]>();
  for (const target of targets) {
    const place = target.about === undefined ? undefined : context.board.place(vscode.Uri.parse(target.about));
    const root = place?.room.project.root ?? '';
    projects.set(root, [...(projects.get(root) ?? []), target]);
  }
  return [...projects.values()];
}

/** Several files in a sentence. */
export function nameOfAll(targets: Target[]): string {
  const [first] = targets;
  return targets.length === 1 && first ? (first.name ?? first.id) : `${targets.length} files`;
}

/** What is asked for to own the file that is meant: in a pattern some characters of a name stand in quotes. */
export async function pathOf(context: Context, given: unknown): Promise<Target> {
  const uri = fileOf(given);
  if (!uri) throw new Error('no file is open');
  const owner = await context.ownership.of(uri);
  if (!owner?.path) throw new Error(`${uri.fsPath} belongs to no project`);
  return { id: owner.pattern ?? owner.path, name: owner.path, about: uri.toString() };
}

/** The project that is meant: that of the row or of the file in the editor, the only one, or the one that
 * is chosen. */
export async function projectOf(context: Context, given: unknown, title: string): Promise<string | undefined> {
  if (given instanceof Node && given.root !== undefined) return given.root;
  const uri = vscode.window.activeTextEditor?.document.uri;
  const here = uri?.scheme === 'file' ? context.board.place(uri) : undefined;
  if (here) return here.room.project.root;
  return choose(
    context.board.shown.map((room) => ({
      label: context.board.nameOf(room), description: vscode.Uri.parse(room.project.root).fsPath,
      value: room.project.root,
    })),
    title, 'no folder of this window is a project: open a Git repository',
  );
}

/** The project of a row. */
export function rootOf(given: unknown): string | undefined {
  return given instanceof Node ? given.root : undefined;
}

export function subjectOf(given: unknown): Subject | undefined {
  return given instanceof Node ? given.subject : undefined;
}

interface Choice<T> extends vscode.QuickPickItem {
  value: T;
}

export async function choose<T>(choices: Choice<T>[], title: string, none: string): Promise<T | undefined> {
  if (choices.length === 0) throw new Error(none);
  if (choices.length === 1) return choices[0]!.value;
  return (await vscode.window.showQuickPick(choices, { title, matchOnDescription: true }))?.value;
}

/** The plan that is meant: the row's, the only one, or the one that is chosen. */
export async function planOf(
  context: Context, given: unknown, title: string, wanted: (plan: PlanStatus) => boolean = () => true,
): Promise<Target | undefined> {
  const subject = subjectOf(given);
  if (subject?.kind === 'plan') return { id: subject.id, about: rootOf(given) };
  if (typeof given === 'string') {
    return { id: given, about: context.board.roomOfPlan(given)?.project.root };
  }
  await context.board.refresh();
  const plans = context.board.shown.flatMap((room) =>
    (room.snapshot?.plans ?? []).filter(wanted).map((plan) => ({ plan, about: room.project.root })));
  return choose(
    plans.map(({ plan, about }) => ({
      label: plan.name, description: [context.board.label(about), plan.plan_id].filter((part) => part !== '').join(', '),
      detail: `${plan.state}, ${plan.done} of ${plan.total} done`,
      value: { id: plan.plan_id, about },
    })),
    title, 'there is no plan for that; store a plan file first',
  );
}

/** What `control` takes: the row's own id, else a plan that is chosen. */
export async function targetOf(
  context: Context, given: unknown, title: string, wanted: (plan: PlanStatus) => boolean,
): Promise<Target | undefined> {
  const id = subjectOf(given)?.id;
  return id === undefined ? planOf(context, given, title, wanted) : { id, about: rootOf(given) };
}

/** The attempt that is meant: of the row, of the file of the editor, or one that is chosen. */
export async function attemptOf(context: Context, given: unknown, title: string): Promise<string | undefined> {
  if (typeof given === 'string') return given;
  const named = (given as { attempt?: unknown } | undefined)?.attempt;
  if (typeof named === 'string') return named;
  const subject = subjectOf(given);
  if (subject?.kind === 'attempt') return subject.attempt;
  if (subject?.kind === 'task') {
    if (subject.attempt) return subject.attempt;
    throw new Error(`task ${subject.id} was not tried yet`);
  }
  const uri = vscode.window.activeTextEditor?.document.uri;
  const owner = uri && (await context.ownership.of(uri));
  const holder = owner?.claims.find((claim) => claim.holder_kind === 'attempt');
  if (holder) return holder.attempt ?? holder.holder;
  await context.board.refresh();
  const choices: Choice<string>[] = [];
  for (const plan of context.board.plans) {
    for (const task of plan.tasks) {
      if (task.attempt === undefined) continue;
      choices.push({
        label: `${task.id}  ${task.task}`, description: `${plan.name}, ${task.state}`, value: task.attempt,
      });
    }
  }
  return choose(choices, title, 'nothing was tried yet');
}
