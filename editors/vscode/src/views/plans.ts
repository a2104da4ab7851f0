// Plans, their tasks, and the tries at each.
import * as vscode from 'vscode';
import { isOver, type Board } from '../model/board';
import { needsOf } from '../model/needs';
import { ago, standing } from '../model/text';
import type { Attempt, PlanStatus, TaskLine } from '../model/wire';
import { iconOf } from './icons';
import { Node, rowUri, taskContext } from './node';
import { Tree } from './tree';

export class PlansTree extends Tree {
  constructor(board: Board) {
    super(board);
    this.subscriptions.push(board.onChange(() => this.redraw()), board.onMinute(() => this.grow()));
  }

  /** The tries that are shown and have not ended, with how long they take. */
  private readonly tries = new Map<string, Node[]>();

  /** Tells of how long tries take by now. */
  private grow(): void {
    const rows = [...this.tries.values()].flat();
    for (const row of rows) if (row.subject.kind === 'attempt') row.description = describe(row.subject.detail);
    if (rows.length > 0) this.changed.fire(rows);
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
      const needy = new Set(needsOf([plan]).map(({ key }) => key));
      return plan.tasks.map((task) => ofSame(this.taskNode(plan, task, needy)));
    }
    if (subject.kind === 'task') {
      const task = await this.board.task(subject.id, node.root);
      const rows = task.attempts.map((attempt) => ofSame(attemptNode(attempt))).reverse();
      this.tries.set(subject.id, rows.filter((row) => row.subject.kind === 'attempt' && !row.subject.detail.ended_at));
      return rows;
    }
    return [];
  }

  planNode(plan: PlanStatus): Node {
    const { Expanded, Collapsed } = vscode.TreeItemCollapsibleState;
    const node = new Node({ kind: 'plan', id: plan.plan_id, plan }, plan.name, isOver(plan.state) ? Collapsed : Expanded);
    node.id = `plan:${plan.plan_id}`;
    node.iconPath = iconOf(plan.state);
    node.description = [`${plan.done} of ${plan.total}`, plan.state, ...standing(plan)].join(', ');
    node.contextValue = planContext(plan, this.board.needs.some((need) => need.kind === 'stage' && need.plan.plan_id === plan.plan_id));
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

  taskNode(plan: PlanStatus, task: TaskLine, needy: Set<string>): Node {
    const id = `${plan.plan_id}/${task.id}`;
    const state = task.paused ? 'paused' : task.state;
    const subject = task.attempt === undefined
      ? { kind: 'task' as const, id, task }
      : { kind: 'task' as const, id, task, attempt: task.attempt };
    const { Collapsed, None } = vscode.TreeItemCollapsibleState;
    const node = new Node(subject, `${task.id}  ${task.task}`, task.attempts > 0 ? Collapsed : None);
    node.id = `task:${id}`;
    node.iconPath = iconOf(state);
    node.description = [
      state,
      task.worker && task.state !== 'done' ? `by ${task.worker}` : '',
      task.attempts > 1 ? `try ${task.attempts}` : '',
    ].filter((part) => part !== '').join(', ');
    node.contextValue = taskContext(state, task);
    node.resourceUri = rowUri(id, needy.has(id) ? 'needs-you' : this.board.isUnseen(id) ? 'finished' : undefined);
    node.tooltip = tooltip(task.task, [
      ['task', id],
      ['state', state],
      ['why', task.reason],
      ['worker', task.worker],
      ['landed as', task.commit?.slice(0, 12)],
    ]);
    return node;
  }
}

/** States of tasks whose newest attempt left something that the judge can look at. */
const LEFT = new Set(['judging', 'rejected', 'approved', 'landing', 'done', 'failed']);

/** What menus go by: the state, what can be judged, what can be landed, what waits for approval. */
function planContext(plan: PlanStatus, waits: boolean): string {
  const left = plan.tasks.some(({ state, attempt }) => attempt !== undefined && LEFT.has(state));
  return `plan.${plan.state}${left ? '+left' : ''}${plan.done > 0 ? '+done' : ''}${waits ? '+approval' : ''}`;
}

function describe(attempt: Attempt): string {
  return [
    attempt.verdict ?? attempt.outcome ?? attempt.state,
    attempt.ended_at ? '' : ago(attempt.started_at, Date.now()),
  ].filter((part) => part !== '').join(', ');
}

function attemptNode(attempt: Attempt): Node {
  const state = attempt.outcome ?? attempt.state;
  const node = new Node(
    { kind: 'attempt', id: attempt.attempt, attempt: attempt.attempt, detail: attempt },
    `Try ${attempt.number} by ${attempt.worker}`,
  );
  node.id = `attempt:${attempt.attempt}`;
  node.iconPath = iconOf(attempt.verdict === 'rejected' ? 'rejected' : state);
  node.description = describe(attempt);
  const worktree = attempt.worktree ? '+worktree' : '';
  node.contextValue = `attempt.${attempt.outcome ? 'finished' : attempt.state}+attempt${attempt.ref ? '+left' : ''}${worktree}`;
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
