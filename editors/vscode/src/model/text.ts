// Words for people.
import type { Claim, PlanStatus } from './wire';

interface Refusal {
  message?: string;
  data?: { hint?: string; kind?: string };
}

/** An error of the server as a sentence with its hint. */
export function sentence(error: unknown): string {
  const refusal = error as Refusal | undefined;
  let text = typeof refusal?.message === 'string' ? refusal.message : String(error);
  const hint = refusal?.data?.hint;
  if (typeof hint === 'string' && hint !== '') text += ` (${hint})`;
  return text.replace(/\s*\n\s*/g, ' ');
}

export function kindOf(error: unknown): string | undefined {
  return (error as Refusal | undefined)?.data?.kind;
}

/** Who holds something. */
export function holderOf(claim: Pick<Claim, 'holder' | 'task' | 'reason' | 'worker'>): string {
  const name = nameOf(claim);
  if (claim.task) return `${name} (task ${claim.task})`;
  if (claim.reason) return `${name} (${claim.reason})`;
  return name;
}

/** The same where there is little room: the task without its plan. */
export function brief(claim: Pick<Claim, 'holder' | 'task' | 'reason' | 'worker'>): string {
  return claim.task ? `${nameOf(claim)}, task ${taskOf(claim.task)}` : holderOf(claim);
}

/** The task's own id of `PLAN/TASK`. */
export function taskOf(id: string): string {
  return id.slice(id.indexOf('/') + 1);
}

/** An attempt goes by the name of its worker. */
export function nameOf(claim: Pick<Claim, 'holder' | 'worker'>): string {
  return claim.worker ?? claim.holder;
}

/** Two letters for a badge: of a name of two words one each. */
export function initials(name: string): string {
  const words = name.replace(/^a-(?=\w{10}$)/, '').split(/[^\p{L}\p{N}]+/u).filter((word) => word !== '');
  const [first, second] = words;
  if (first === undefined) return '?';
  return (second === undefined ? first.slice(0, 2) : first[0]! + second[0]!).toUpperCase();
}

/** 'just now', '5 min', '3 h', '2 d': how long ago. */
export function ago(time: string | undefined, now: number): string {
  const then = time === undefined ? NaN : Date.parse(time);
  if (Number.isNaN(then)) return '';
  const minutes = Math.max(0, Math.floor((now - then) / 60_000));
  if (minutes < 1) return 'just now';
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h`;
  return `${Math.floor(minutes / 60 / 24)} d`;
}

export function count(n: number, one: string, more = `${one}s`): string {
  return `${n} ${n === 1 ? one : more}`;
}

/** A number of bytes: `812 bytes`, `34 KB`, `56 MB`. */
export function bytes(n: number): string {
  if (n < 1000) return count(n, 'byte');
  return n < 1_000_000 ? `${Math.round(n / 1000)} KB` : `${Math.round(n / 1_000_000)} MB`;
}

/** How many tasks of a plan are paused. */
export function pausedOf({ tasks }: PlanStatus): number {
  return tasks.filter(({ paused }) => paused).length;
}

/** What is being done in a plan and what is lost of it, each by itself. */
export function standing(plan: PlanStatus): string[] {
  const { running, failed, blocked = 0, position } = plan;
  const paused = pausedOf(plan);
  return [
    running > paused ? `${running - paused} at work` : '',
    paused > 0 ? `${paused} paused` : '',
    failed > blocked ? `${failed - blocked} failed` : '',
    blocked > 0 ? `${blocked} blocked` : '',
    position === undefined ? '' : `place ${position} in the queue`,
  ].filter((part) => part !== '');
}

/** Paths and patterns as they are typed: separated by blanks, in quotes where they have some themselves. */
export function splitPatterns(text: string): string[] {
  return [...text.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '').filter((one) => one !== '');
}

/** One of them, so that it is read as one. */
export function quotePattern(pattern: string): string {
  return /\s/.test(pattern) ? `"${pattern}"` : pattern;
}
