// What needs a person, as opposed to what is merely finished.
import type { Event, PlanStatus, TaskLine } from './wire';

/** How an attempt may end that a person has to look at. */
const TROUBLE = new Set(['violation', 'failed', 'stuck', 'timed-out']);

export type Concern = 'needs-you' | 'finished' | undefined;

export function concernOf(event: Event): Concern {
  const data = event.data ?? {};
  switch (event.kind) {
    case 'attempt.finished':
      return TROUBLE.has(String(data['outcome'])) ? 'needs-you' : undefined;
    case 'task.state':
      if (data['to'] === 'failed' || data['to'] === 'blocked') return 'needs-you';
      return data['to'] === 'done' ? 'finished' : undefined;
    case 'plan.state':
      if (data['state'] === 'failed') return 'needs-you';
      return data['state'] === 'done' ? 'finished' : undefined;
    default:
      return event.kind.startsWith('approval.') ? 'needs-you' : undefined;
  }
}

/** Why a task wants a decision; nothing where it does not. */
export function needOf(task: TaskLine): string | undefined {
  if (task.state === 'failed' || task.state === 'blocked') return task.reason ?? task.state;
  if (task.reason?.startsWith('approval')) return task.reason;
  return undefined;
}

export interface Need {
  plan: PlanStatus;
  task: TaskLine;
  why: string;
}

export function needsOf(plans: Iterable<PlanStatus>): Need[] {
  const needs: Need[] = [];
  for (const plan of plans) {
    for (const task of plan.tasks) {
      const why = needOf(task);
      if (why !== undefined) needs.push({ plan, task, why });
    }
  }
  return needs;
}
