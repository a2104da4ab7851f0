// What needs a person, as opposed to what is merely finished.
import { count } from './text';
import type { Event, PlanStatus, TaskLine, ToApprove } from './wire';

export type Concern = 'needs-you' | 'finished' | undefined;

/** Where a stage of a pipeline wants somebody to look. */
const STAGES = new Set(['approval', 'failed', 'unknown']);

/** A try that came to nothing is no concern yet: Kapell tries again, and what it gives up is a task that
 * failed. What waits for a failed task is none besides that one. */
export function concernOf(event: Event): Concern {
  const data = event.data ?? {};
  switch (event.kind) {
    case 'task.state':
      if (data['to'] === 'failed') return 'needs-you';
      return data['to'] === 'done' ? 'finished' : undefined;
    case 'stage.state':
      return STAGES.has(String(data['to'])) ? 'needs-you' : undefined;
    case 'plan.state':
      if (data['state'] === 'failed') return 'needs-you';
      return data['state'] === 'done' ? 'finished' : undefined;
    default:
      return undefined;
  }
}

/** What an event is about, as needs are called. */
export function keyOf({ plan_id, task, kind, data }: Event): string | undefined {
  if (plan_id === undefined) return undefined;
  if (task !== undefined) return taskKey(plan_id, task);
  return kind === 'stage.state' ? stageKey(plan_id, String(data?.['stage'])) : plan_id;
}

const taskKey = (plan: string, task: string | number): string => `${plan}/${task}`;
const stageKey = (plan: string, stage: string): string => `${plan}#${stage}`;

interface Why {
  key: string;
  why: string;
}

export type Need =
  | (Why & { kind: 'task'; plan: PlanStatus; task: TaskLine })
  | (Why & { kind: 'stage'; plan: PlanStatus; stage: string })
  | (Why & { kind: 'plan'; plan: PlanStatus });

/** What a need is about, in a word. */
export function nameOfNeed(need: Need): string {
  if (need.kind === 'task') return String(need.task.id);
  return need.kind === 'stage' ? `${need.plan.name}, stage ${need.stage}` : need.plan.name;
}

/** Needs in words, by what they are: `1 stage to approve, 2 failed tasks`. */
export function wordsOf(needs: Need[]): string {
  const states = (state: string): number => needs.filter((need) => need.kind === 'task' && need.task.state === state).length;
  const kinds = (kind: Need['kind']): number => needs.filter((need) => need.kind === kind).length;
  const parts: [number, string, string?][] = [
    [kinds('stage'), 'stage to approve', 'stages to approve'],
    [states('failed'), 'failed task'],
    [states('blocked'), 'blocked task'],
    [kinds('plan'), 'plan that is held up', 'plans that are held up'],
  ];
  return parts.filter(([n]) => n > 0).map(([n, one, more]) => count(n, one, more)).join(', ');
}

/** `stages` are those of pipelines that wait for a person. */
export function needsOf(plans: Iterable<PlanStatus>, stages: Iterable<ToApprove> = []): Need[] {
  const waiting = new Map<string, string[]>();
  for (const { run, stage } of stages) waiting.set(run, [...(waiting.get(run) ?? []), stage]);
  const needs: Need[] = [];
  for (const plan of plans) {
    const { plan_id: id, tasks } = plan;
    const before = needs.length;
    const lost = new Set(tasks.filter(({ state }) => state === 'failed' || state === 'blocked').map((task) => String(task.id)));
    for (const stage of waiting.get(id) ?? []) {
      needs.push({ kind: 'stage', key: stageKey(id, stage), plan, stage, why: 'waits for your approval' });
    }
    for (const task of tasks) {
      if (isNeedy(task, lost)) {
        needs.push({ kind: 'task', key: taskKey(id, task.id), plan, task, why: task.reason ?? task.state });
      }
    }
    // Nothing in it says why, so it does.
    if (needs.length === before && isHeldUp(plan)) {
      needs.push({ kind: 'plan', key: id, plan, why: plan.reason ?? plan.state });
    }
  }
  return needs;
}

function isHeldUp(plan: PlanStatus): boolean {
  return plan.state === 'failed' || (plan.state === 'paused' && plan.reason !== undefined);
}

/** A failed task, or one that cannot begin for another reason than a lost one, which is told itself. */
function isNeedy({ state, depends_on }: TaskLine, lost: Set<string>): boolean {
  return state === 'failed' || (state === 'blocked' && !(depends_on ?? []).some((id) => lost.has(String(id))));
}

/** What the server warns of, without what is told as a need already. */
export function warningsOf(warnings: string[], needs: Need[]): string[] {
  return warnings.filter((text) => !needs.some((need) => tells(text, need)));
}

/** A warning about a plan may tell of something else than a need in it: that nobody runs it. */
function tells(text: string, need: Need): boolean {
  const id = need.plan.plan_id;
  if (need.kind === 'task') return text.startsWith(`task ${need.key} `);
  const why = need.kind === 'stage' ? 'approval: ' : need.why;
  return (text.startsWith(`plan ${id}:`) || text.startsWith(`plan ${id} `)) && text.includes(why);
}
