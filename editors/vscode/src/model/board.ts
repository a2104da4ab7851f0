// What is shown, asked of the server whenever something happens: at most one question a time, and
// what happens meanwhile is in the next.
import * as vscode from 'vscode';
import type { Connection } from '../server/connection';
import { concernOf, needsOf, type Need } from './needs';
import { sentence } from './text';
import type { Claim, Conductor, Event, Overview, PlanStatus, TaskStatus, Worker } from './wire';

/** So many events are kept. */
const MOST_EVENTS = 500;
/** Plans that are over are asked for only as far as they can be seen. */
const MOST_OLD_PLANS = 10;
/** What changes without anything having happened. */
const PASSING = new Set(['seq', 'heartbeat_at']);
/** A plan's tasks come in pages; more pages than this are not shown. */
const MOST_PAGES = 20;

export interface Snapshot {
  overview: Overview;
  plans: PlanStatus[];
  workers: Worker[];
  conductors: Conductor[];
}

export class Board implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly claimsChanged = new vscode.EventEmitter<void>();
  private readonly eventAdded = new vscode.EventEmitter<Event>();
  private readonly attempts = new Map<string, Promise<TaskStatus>>();
  private asking: Promise<void> | undefined;
  private dirty = false;
  /** What was shown last, as text. */
  private facts = '';
  /** Counts changes of what is seen and unseen, which is no part of the snapshot. */
  private marks = 0;
  private marksShown = 0;
  private readonly subscriptions: vscode.Disposable[];

  readonly onChange = this.changed.event;
  readonly onClaims = this.claimsChanged.event;
  readonly onEvent = this.eventAdded.event;

  snapshot: Snapshot | undefined;
  claims: Claim[] = [];
  totalClaims = 0;
  events: Event[] = [];
  /** What finished since the person last looked: `PLAN/TASK` or a plan's id. */
  readonly unseen = new Set<string>();
  /** What needed the person and was looked at. */
  private readonly seen = new Set<string>();
  /** The newest event of which the person has seen what came of it. */
  private seenUpTo = 0;

  constructor(private readonly server: Connection) {
    this.subscriptions = [
      server.onEvent((event) => this.add(event)),
      server.onClaims(({ claims, total }) => {
        this.claims = claims;
        this.totalClaims = total;
        this.claimsChanged.fire();
        void this.refresh();
      }),
      server.onState((state) => {
        if (state === 'ready') {
          void this.fillEvents();
          void this.refresh();
        } else if (state !== 'starting') {
          this.snapshot = undefined;
          this.facts = '';
          this.claims = [];
          this.totalClaims = 0;
          this.changed.fire();
          this.claimsChanged.fire();
        }
      }),
    ];
  }

  private add(event: Event): void {
    this.events.push(event);
    if (this.events.length > MOST_EVENTS) this.events.shift();
    const id = event.task === undefined ? event.plan_id : `${event.plan_id}/${event.task}`;
    const concern = concernOf(event);
    if (id !== undefined && concern !== undefined) {
      this.marks++;
      if (concern === 'finished') this.unseen.add(id);
      // It failed again: that has not been seen. The event may come later than the state that it explains.
      if (concern === 'needs-you' && event.seq > this.seenUpTo) this.seen.delete(id);
    }
    this.attempts.clear();
    this.eventAdded.fire(event);
    void this.refresh();
  }

  private async fillEvents(): Promise<void> {
    try {
      const { events } = await this.server.call<{ events: Event[] }>('status', { scope: 'events' });
      const known = this.events[0]?.seq ?? Infinity;
      this.events = [...events.filter((event) => event.seq < known), ...this.events].slice(-MOST_EVENTS);
      this.changed.fire();
    } catch (error) {
      this.server.log.warn(`the events could not be read: ${sentence(error)}`);
    }
  }

  refresh(): Promise<void> {
    if (this.asking) {
      this.dirty = true;
      return this.asking;
    }
    this.asking = this.ask().finally(() => {
      this.asking = undefined;
      if (this.dirty) {
        this.dirty = false;
        void this.refresh();
      }
    });
    return this.asking;
  }

  private async ask(): Promise<void> {
    if (this.server.state !== 'ready') return;
    try {
      const [overview, workers, conductors] = await Promise.all([
        this.server.call<Overview>('status', { scope: 'overview' }),
        this.server.call<{ workers: Worker[] }>('status', { scope: 'workers' }),
        this.server.call<{ conductors: Conductor[] }>('status', { scope: 'conductors' }),
      ]);
      let old = 0;
      const wanted = overview.plans.filter((plan) => !isOver(plan.state) || old++ < MOST_OLD_PLANS);
      const plans = await Promise.all(wanted.map((plan) => this.plan(plan.plan_id)));
      const snapshot = {
        overview,
        plans: plans.filter((plan): plan is PlanStatus => plan !== undefined),
        workers: workers.workers,
        conductors: conductors.conductors,
      };
      // Rows that are drawn anew while somebody clicks on one are lost to that click.
      const facts = JSON.stringify(snapshot, (key, value: unknown) => (PASSING.has(key) ? undefined : value));
      this.snapshot = snapshot;
      if (facts !== this.facts || this.marks !== this.marksShown) {
        this.facts = facts;
        this.marksShown = this.marks;
        this.changed.fire();
      }
    } catch (error) {
      this.server.log.warn(`the status could not be read: ${sentence(error)}`);
    }
  }

  private async plan(id: string): Promise<PlanStatus | undefined> {
    try {
      const plan = await this.server.call<PlanStatus>('status', { scope: 'plan', id });
      for (let page = 1; plan.next_cursor !== undefined && page < MOST_PAGES; page++) {
        const more = await this.server.call<PlanStatus>('status', { scope: 'plan', id, cursor: plan.next_cursor });
        plan.tasks.push(...more.tasks);
        if (more.next_cursor === undefined) delete plan.next_cursor;
        else plan.next_cursor = more.next_cursor;
      }
      return plan;
    } catch (error) {
      // It may be gone between the two questions.
      this.server.log.debug(`plan ${id}: ${sentence(error)}`);
      return undefined;
    }
  }

  /** A task with its attempts, `PLAN/TASK`; asked once until something happens. */
  task(id: string): Promise<TaskStatus> {
    let task = this.attempts.get(id);
    if (!task) {
      task = this.server.call<TaskStatus>('status', { scope: 'task', id });
      this.attempts.set(id, task);
      task.catch(() => this.attempts.delete(id));
    }
    return task;
  }

  get needs(): Need[] {
    return needsOf(this.snapshot?.plans ?? []);
  }

  /** What needs the person and was not looked at yet. */
  get unseenNeeds(): Need[] {
    return this.needs.filter((need) => !this.seen.has(`${need.plan.plan_id}/${need.task.id}`));
  }

  isUnseen(id: string): boolean {
    return this.unseen.has(id);
  }

  markSeen(): void {
    const { overview, plans } = this.snapshot ?? {};
    this.seenUpTo = Math.max(this.seenUpTo, overview?.seq ?? 0, ...(plans ?? []).map((plan) => plan.seq ?? 0));
    for (const need of this.needs) this.seen.add(`${need.plan.plan_id}/${need.task.id}`);
    this.unseen.clear();
    this.changed.fire();
  }

  /** What finished was looked at. */
  sawFinished(): void {
    if (this.unseen.size === 0) return;
    this.unseen.clear();
    this.changed.fire();
  }

  dispose(): void {
    for (const one of [...this.subscriptions, this.changed, this.claimsChanged, this.eventAdded]) one.dispose();
  }
}

export function isOver(state: string): boolean {
  return state === 'done' || state === 'stopped';
}
