// A row of a tree: what it shows and what it stands for.
import * as vscode from 'vscode';
import type { Attempt, Claim, Conductor, Event, PlanStatus, TaskLine, Worker } from '../model/wire';

/** What a command that is called on a row, or by hand, is about. */
export type Subject =
  | { kind: 'plan'; id: string; plan: PlanStatus }
  | { kind: 'task'; id: string; task: TaskLine; attempt?: string }
  | { kind: 'attempt'; id: string; attempt: string; detail: Attempt }
  | { kind: 'worker'; id: string; worker: Worker }
  | { kind: 'conductor'; id: string; conductor: Conductor }
  | { kind: 'claim'; id: string; claim: Claim }
  | { kind: 'event'; id: string; event: Event }
  | { kind: 'stage'; id: string; plan_id: string; stage: string }
  | { kind: 'warning'; id: string }
  | { kind: 'more'; id: string }
  | { kind: 'project'; id: string };

export class Node extends vscode.TreeItem {
  /** The top folder of the project that it belongs to. */
  root: string | undefined;

  constructor(
    readonly subject: Subject,
    label: string,
    open: vscode.TreeItemCollapsibleState = vscode.TreeItemCollapsibleState.None,
  ) {
    super(label, open);
  }
}

/** What menus go by: a task's state, and whether there is an attempt to look at. */
export function taskContext(state: string, task: TaskLine): string {
  return `task.${state}${task.attempt === undefined ? '' : '+attempt'}`;
}

/** The marks of rows: `!` on what needs a person, `✓` on what finished and was not seen yet. */
export function rowUri(id: string, concern: 'needs-you' | 'finished' | undefined): vscode.Uri {
  return vscode.Uri.from({ scheme: 'kapell-row', path: `/${id}`, query: concern ?? '' });
}

export const rowDecorations: vscode.FileDecorationProvider = {
  provideFileDecoration(uri) {
    if (uri.scheme !== 'kapell-row') return undefined;
    if (uri.query === 'needs-you') {
      return new vscode.FileDecoration('!', 'needs you', new vscode.ThemeColor('kapell.needsYou'));
    }
    if (uri.query === 'finished') {
      return new vscode.FileDecoration('✓', 'finished', new vscode.ThemeColor('kapell.own'));
    }
    return undefined;
  },
};
