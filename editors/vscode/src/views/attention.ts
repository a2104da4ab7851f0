// What needs a person: it has a view of its own, so that its badge cannot be taken for that of what
// finished.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { wordsOf, type Need } from '../model/needs';
import { iconOf } from './icons';
import { Node, rowUri, taskContext } from './node';
import { Tree } from './tree';

export class AttentionTree extends Tree {
  constructor(board: Board) {
    super(board);
    this.subscriptions.push(board.onChange(() => this.redraw()));
  }

  override rows(): Node[] {
    return [
      ...this.board.needs.map((need) => this.needNode(need)),
      ...this.board.warnings.map(({ root, text }) => this.warningNode(root, text)),
    ];
  }

  private needNode(need: Need): Node {
    const { plan, why, key } = need;
    const row = nodeOf(need);
    row.id = `need:${key}`;
    row.root = this.board.roomOfPlan(plan.plan_id)?.project.root;
    const where = this.board.label(row.root);
    row.description = where === '' ? why : `${why} (${where})`;
    row.resourceUri = rowUri(key.replace('#', '/'), 'needs-you');
    return row;
  }

  /** What the server warns of: it has a row, and no mark, since most of it passes. */
  private warningNode(root: string, text: string): Node {
    const row = new Node({ kind: 'warning', id: text }, text);
    row.id = `warning:${root}:${text}`;
    row.root = root;
    row.iconPath = new vscode.ThemeIcon('warning', new vscode.ThemeColor('kapell.needsYou'));
    row.description = this.board.label(root);
    row.tooltip = text;
    row.contextValue = 'warning';
    return row;
  }
}

function nodeOf(need: Need): Node {
  const { plan, why } = need;
  if (need.kind === 'task') {
    const { task } = need;
    const id = `${plan.plan_id}/${task.id}`;
    const subject = task.attempt === undefined
      ? { kind: 'task' as const, id, task }
      : { kind: 'task' as const, id, task, attempt: task.attempt };
    const row = new Node(subject, `${task.id}  ${task.task}`);
    row.iconPath = iconOf(task.state);
    row.tooltip = `${plan.name}, task ${task.id}, ${task.state}: ${why}`;
    row.contextValue = taskContext(task.state, task);
    if (task.attempt !== undefined) {
      row.command = { command: 'kapell.showVerdict', title: 'Show Verdict', arguments: [row] };
    }
    return row;
  }
  if (need.kind === 'stage') {
    const { stage } = need;
    const row = new Node({ kind: 'stage', id: `${plan.plan_id}/${stage}`, plan_id: plan.plan_id, stage }, `${plan.name}: ${stage}`);
    row.iconPath = iconOf('approval');
    row.tooltip = `${plan.plan_id}, stage ${stage} ${why}`;
    row.contextValue = 'stage.approval';
    return row;
  }
  const row = new Node({ kind: 'plan', id: plan.plan_id, plan }, plan.name);
  row.iconPath = iconOf(plan.state);
  row.tooltip = `${plan.plan_id}, ${plan.state}: ${why}`;
  row.contextValue = `plan.${plan.state}`;
  return row;
}

/** The badges: of what needs the person, and, if there is nothing, of what finished. */
export function keepBadges(
  board: Board, attention: vscode.TreeView<Node>, plans: vscode.TreeView<Node>,
): vscode.Disposable {
  return board.onChange(() => {
    const { unseenNeeds } = board;
    const needs = unseenNeeds.length;
    attention.badge = needs > 0
      ? { value: needs, tooltip: `${needs} need${needs === 1 ? 's' : ''} you: ${wordsOf(unseenNeeds)}` } : undefined;
    const finished = board.unseen.size;
    plans.badge = needs === 0 && finished > 0 ? { value: finished, tooltip: `${finished} finished` } : undefined;
    plans.description = finished > 0 ? `${finished} finished` : '';
  });
}
