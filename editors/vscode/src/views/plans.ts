// Plans, their tasks, and the tries at each.
import * as vscode from 'vscode';
import { isOver, type Board } from '../model/board';
import { needOf } from '../model/needs';
import { ago } from '../model/text';
import type { Attempt, PlanStatus, TaskLine } from '../model/wire';
import { iconOf } from './icons';
import { Node, rowUri } from './node';
import { Tree } from './tree';

export class PlansTree extends Tree {
  constructor(board: Board) {
    super(board);
    this.subscriptions.push(board.onChange(() => this.redraw()));
  }

  override rows(project?: Node): Node[] {
    return this.byProject(project, ({ snapshot }) => (snapshot?.plans ?? []).map((plan) => this.planNode(plan)));
  }

  override async below(node: Node): Promise<Node[]> {
    const { subject } = node;
    const ofSame = (row: Node): Node => Object.assign(row, { root: node.root });
    if (subject.kind === 'plan') {
      // The row may be older than what is known of the plan.
      const plan = this.board.plans.find((one) => one.plan_id === subject.id) ?? subject.plan;
      return plan.tasks.map((task) => ofSame(this.taskNode(plan, task)));
    }
    if (subject.kind === 'task') {
      const task = await this.board.task(subject.id, node.root);
      return task.attempts.map((attempt) => ofSame(attemptNode(attempt))).reverse();
    }
    return [];
  }

  planNode(plan: PlanStatus): Node {
    const { Expanded, Collapsed } = vscode.TreeItemCollapsibleState;
    const node = new Node({ kind: 'plan', id: plan.plan_id, plan }, plan.name, isOver(plan.state) ? Collapsed : Expanded);
    node.id = `plan:${plan.plan_id}`;
    node.iconPath = iconOf(plan.state);
    node.description = [
      `${plan.done} of ${plan.total}`,
      plan.state,
      plan.running > 0 ? `${plan.running} at work` : '',
      plan.failed > 0 ? `${plan.failed} failed` : '',
    ].filter((part) => part !== '').join(', ');
    node.contextValue = `plan.${plan.state}`;
    node.resourceUri = rowUri(plan.plan_id, this.board.isUnseen(plan.plan_id) ? 'finished' : undefined);
    node.tooltip = tooltip(plan.name, [
      ['id', plan.plan_id],
      ['state', plan.state],
      ['why', plan.reason],
      ['collects on', plan.integration],
      ['lands on', plan.target],
      ['spent', plan.usd ? `$${plan.usd.toFixed(2)}` : undefined],
    ]);
    return node;
  }

  taskNode(plan: PlanStatus, task: TaskLine): Node {
    const id = `${plan.plan_id}/${task.id}`;
    const need = needOf(task);
    const subject = task.attempt === undefined
      ? { kind: 'task' as const, id, task }
      : { kind: 'task' as const, id, task, attempt: task.attempt };
    const { Collapsed, None } = vscode.TreeItemCollapsibleState;
    const node = new Node(subject, `${task.id}  ${task.task}`, task.attempts > 0 ? Collapsed : None);
    node.id = `task:${id}`;
    node.iconPath = iconOf(task.state);
    node.description = [
      task.state,
      task.worker && task.state !== 'done' ? `by ${task.worker}` : '',
      task.attempts > 1 ? `try ${task.attempts}` : '',
    ].filter((part) => part !== '').join(', ');
    node.contextValue = `task.${task.state}${task.attempt === undefined ? '' : '+attempt'}`;
    node.resourceUri = rowUri(id, need === undefined ? (this.board.isUnseen(id) ? 'finished' : undefined) : 'needs-you');
    node.tooltip = tooltip(task.task, [
      ['task', id],
      ['state', task.state],
      ['why', task.reason],
      ['worker', task.worker],
      ['landed as', task.commit?.slice(0, 12)],
    ]);
    return node;
  }
}

function attemptNode(attempt: Attempt): Node {
  const state = attempt.outcome ?? attempt.state;
  const node = new Node(
    { kind: 'attempt', id: attempt.attempt, attempt: attempt.attempt, detail: attempt },
    `Try ${attempt.number} by ${attempt.worker}`,
  );
  node.id = `attempt:${attempt.attempt}`;
  node.iconPath = iconOf(attempt.verdict === 'rejected' ? 'rejected' : state);
  node.description = [
    attempt.verdict ?? state,
    attempt.ended_at ? '' : ago(attempt.started_at, Date.now()),
  ].filter((part) => part !== '').join(', ');
  const worktree = attempt.worktree ? '+worktree' : '';
  node.contextValue = `attempt.${attempt.outcome ? 'finished' : attempt.state}+attempt${worktree}`;
  node.tooltip = tooltip(`Try ${attempt.number}`, [
    ['attempt', attempt.attempt],
    ['provider', attempt.provider],
    ['outcome', attempt.outcome ?? undefined],
    ['why', attempt.reason],
    ['verdict', attempt.verdict],
    ['changed', attempt.changed?.join(', ')],
    ['outside its claim', attempt.outside_claim?.join(', ')],
  ]);
  node.command = attempt.verdict || attempt.gates?.length
    ? { command: 'kapell.showVerdict', title: 'Show Verdict', arguments: [node] }
    : { command: 'kapell.openLog', title: 'Open Log', arguments: [node] };
  return node;
}

function tooltip(title: string, facts: [string, string | undefined][]): vscode.MarkdownString {
  const text = new vscode.MarkdownString();
  text.appendText(title).appendMarkdown('\n\n');
  for (const [name, value] of facts) {
    if (value) text.appendMarkdown(`**${name}** `).appendText(value).appendMarkdown('  \n');
  }
  return text;
}
