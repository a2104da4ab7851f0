// What needs a person: it has a view of its own, so that its badge cannot be taken for that of what
// finished.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { iconOf } from './icons';
import { Node, rowUri } from './node';
import { Tree } from './tree';

export class AttentionTree extends Tree {
  constructor(board: Board) {
    super(board);
    this.subscriptions.push(board.onChange(() => this.redraw()));
  }

  override rows(): Node[] {
    return this.board.needs.map(({ plan, task, why }) => {
      const id = `${plan.plan_id}/${task.id}`;
      const subject = task.attempt === undefined
        ? { kind: 'task' as const, id, task }
        : { kind: 'task' as const, id, task, attempt: task.attempt };
      const row = new Node(subject, `${task.id}  ${task.task}`);
      row.id = `need:${id}`;
      row.iconPath = iconOf(task.state);
      row.root = this.board.roomOfPlan(plan.plan_id)?.project.root;
      const where = this.board.label(row.root);
      row.description = where === '' ? why : `${why} (${where})`;
      row.tooltip = `${plan.name}, task ${task.id}, ${task.state}: ${why}`;
      row.contextValue = `task.${task.state}${task.attempt === undefined ? '' : '+attempt'}`;
      row.resourceUri = rowUri(id, 'needs-you');
      if (task.attempt !== undefined) {
        row.command = { command: 'kapell.showVerdict', title: 'Show Verdict', arguments: [row] };
      }
      return row;
    });
  }
}

/** The badges: of what needs the person, and, if there is nothing, of what finished. */
export function keepBadges(
  board: Board, attention: vscode.TreeView<Node>, plans: vscode.TreeView<Node>,
): vscode.Disposable {
  return board.onChange(() => {
    const needs = board.unseenNeeds.length;
    attention.badge = needs > 0 ? { value: needs, tooltip: `${needs} need${needs === 1 ? 's' : ''} you` } : undefined;
    const finished = board.unseen.size;
    plans.badge = needs === 0 && finished > 0 ? { value: finished, tooltip: `${finished} finished` } : undefined;
    plans.description = finished > 0 ? `${finished} finished` : '';
  });
}
