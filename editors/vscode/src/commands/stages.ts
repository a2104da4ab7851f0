// Stages of pipelines that wait for a person.
import * as vscode from 'vscode';
import type { Need } from '../model/needs';
import type { PipelineResult } from '../model/wire';
import { confirm } from './care';
import { choose, command, rootOf, say, subjectOf, type Context } from './context';

interface Stage {
  run: string;
  stage: string;
  about: string | undefined;
}

export function registerStages(context: Context): void {
  command(context, 'kapell.approveStage', async (given: unknown) => {
    const meant = await stageOf(context, given, 'Approve which stage?');
    if (!meant || !(await confirm(`Let stage ${meant.stage} of ${meant.run} begin?`, 'Approve'))) return;
    await decide(context, meant, {});
  });
  command(context, 'kapell.refuseStage', async (given: unknown) => {
    const meant = await stageOf(context, given, 'Refuse which stage?');
    if (!meant) return;
    const message = await vscode.window.showInputBox({
      title: `Refuse stage ${meant.stage} of ${meant.run}`, prompt: 'Why? (may be left empty)',
    });
    if (message !== undefined) await decide(context, meant, { refuse: true, ...(message.trim() === '' ? {} : { message: message.trim() }) });
  });
}

async function decide(context: Context, { run, stage, about }: Stage, how: { refuse?: true; message?: string }): Promise<void> {
  const { message } = await context.server.call<PipelineResult>('pipeline', { action: 'approve', run, stage, ...how }, about);
  await context.board.refresh();
  if (message) void say(message);
}

/** The stage that is meant: the row's, that of a message, the only one that waits, or the one that is chosen. */
async function stageOf(context: Context, given: unknown, title: string): Promise<Stage | undefined> {
  const subject = subjectOf(given);
  if (subject?.kind === 'stage') return { run: subject.plan_id, stage: subject.stage, about: rootOf(given) };
  const named = given as { plan_id?: unknown; stage?: unknown; root?: string } | undefined;
  if (!subject && typeof named?.plan_id === 'string' && typeof named.stage === 'string') {
    return { run: named.plan_id, stage: named.stage, about: named.root };
  }
  await context.board.refresh();
  const isMeant = (need: Need): need is Need & { kind: 'stage' } =>
    need.kind === 'stage' && (subject?.kind !== 'plan' || need.plan.plan_id === subject.id);
  const stages = context.board.needs.filter(isMeant);
  return choose(
    stages.map(({ plan, stage }) => ({
      label: stage, description: `${plan.name}, ${plan.plan_id}`,
      value: { run: plan.plan_id, stage, about: context.board.roomOfPlan(plan.plan_id)?.project.root },
    })),
    title, 'no stage waits for a person',
  );
}
