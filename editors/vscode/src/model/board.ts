// What is shown, asked of the server whenever something happens: at most one question a time, and
// what happens meanwhile is in the next. A window has a room for each project that is open in it.
import * as vscode from 'vscode';
import type { Connection } from '../server/connection';
import { concernOf, keyOf, needsOf, warningsOf, type Need } from './needs';
import { ClaimPages, type Held } from './pages';
import { sentence } from './text';
import type {
  Claim, Conductor, Event, Overview, PipelineResult, PlanStatus, Project, TaskStatus, ToApprove, Worker,
} from './wire';

/** So many events are kept. */
const MOST_EVENTS = 500;
/** Plans that are over are asked for only as far as they can be seen. */
const MOST_OLD_PLANS = 10;
/** What changes without anything having happened. */
const PASSING = new Set(['seq', 'heartbeat_at']);
/** What comes in pages: so much in one of them. */
const PAGE = 500;
/** A plan's tasks come in pages; more pages than this are not shown. */
const MOST_PAGES = 100;
/** So many stages that wait for a person are named by the overview; there may be more where it names as many. */
const NAMED_STAGES = 5;

export interface Snapshot {
  overview: Overview;
  plans: PlanStatus[];
  workers: Worker[];
  conductors: Conductor[];
  /** The stages of pipelines that wait for a person. */
  stages?: ToApprove[];
}

/** A project that is open in the window, with what is known of it. */
export interface Room extends Held {
  project: Project;
  /** Its top folder and the window's folders in it, as the editor writes paths, with what these are in it. */
  bases: { base: string; path: string }[];
  snapshot: Snapshot | undefined;
  /** What was shown of it last, as text. */
  facts: string;
}

export class Board implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  private readonly claimsChanged = new vscode.EventEmitter<void>();
  private readonly eventAdded = new vscode.EventEmitter<Event>();
  private readonly attempts = new Map<string, Promise<TaskStatus>>();
  private asking: Promise<void> | undefined;
  /** The rooms, by their roots, of which something else is to be asked. */
  private readonly stale = new Set<string>();
  /** What needs somebody, by what it was found in: every row asks for it. */
  private readonly known = new WeakMap<Snapshot, Need[]>();
  /** Counts changes of what is seen and unseen, which is no part of a snapshot. */
  private marks = 0;
  private marksShown = 0;
  private readonly pages: ClaimPages;
  private readonly subscriptions: vscode.Disposable[];

  private readonly minute = new vscode.EventEmitter<void>();
  private readonly clock = setInterval(() => this.minute.fire(), 60_000).unref();

  /** Time went by, and what says how long ago something was is another. */
  readonly onMinute = this.minute.event;
  readonly onChange = this.changed.event;
  readonly onClaims = this.claimsChanged.event;
  readonly onEvent = this.eventAdded.event;

  /** All that the server told of, in its order: those of open files too. */
  rooms: Room[] = [];
  /** Those with a folder in the window, each repository once however many worktrees of it are open. */
  shown: Room[] = [];
  events: Event[] = [];
  /** What finished since the person last looked: `PLAN/TASK` or a plan's id. */
  readonly unseen = new Set<string>();
  /** What needed the person and was looked at. */
  private readonly seen = new Set<string>();
  /** The newest event of which the person has seen what came of it. */
  private seenUpTo = 0;

  constructor(private readonly server: Connection) {
    const find = (root: string): Room | undefined => this.rooms.find((one) => one.project.root === root);
    this.pages = new ClaimPages(server, find, (root) => {
      this.claimsChanged.fire();
      const room = find(root);
      if (room) this.touch(room);
    });
    this.subscriptions = [
      this.pages,
      server.onProjects(({ projects }) => this.settle(projects)),
      server.onEvent((event) => this.add(event)),
      server.onClaims((told) => this.pages.take(told)),
      server.onState((state) => {
        if (state === 'ready') {
          // What happened while there was no server is in none of its news.
          for (const room of this.shown) void this.fillEvents(room);
          void this.refresh();
        } else if (state !== 'starting') {
          this.pages.forget();
          this.settle([]);
        }
      }),
    ];
  }

  /** Takes over which projects are open. What is known of those that stay is kept. */
  settle(projects: Project[]): void {
    const before = new Map(this.rooms.map((room) => [room.project.root, room]));
    const wereShown = new Set(this.shown.map((room) => room.project.root));
    this.rooms = projects.map((project) => {
      const room = before.get(project.root) ?? {
        project, bases: [], snapshot: undefined, claims: [], totalClaims: 0, told: { count: 0, cursor: undefined }, facts: '',
      };
      room.project = project;
      room.bases = [{ uri: project.root, path: '' }, ...project.folders]
        .map(({ uri, path }) => ({ base: vscode.Uri.parse(uri).path, path }));
      return room;
    });
    const folders = (vscode.workspace.workspaceFolders ?? []).map(({ uri }) => uri.path);
    const ids = new Set<string>();
    this.shown = this.rooms.filter(({ project }) => {
      const isHere = project.folders.length > 0
        || folders.some((folder) => below(folder, vscode.Uri.parse(project.root).path) !== undefined);
      if (!isHere || ids.has(project.project)) return false;
      ids.add(project.project);
      return true;
    });
    void vscode.commands.executeCommand('setContext', 'kapell.anyProject', this.shown.length > 0);
    const roots = new Set(this.shown.map((room) => room.project.root));
    this.events = this.events.filter(({ root }) => root === undefined || roots.has(root));
    for (const room of this.shown) {
      if (wereShown.has(room.project.root)) continue;
      this.stale.add(room.project.root);
      void this.fillEvents(room);
    }
    this.changed.fire();
    this.claimsChanged.fire();
    void this.ask();
  }

  get plans(): PlanStatus[] {
    return this.shown.flatMap((room) => room.snapshot?.plans ?? []);
  }

  get claims(): Claim[] {
    return this.shown.flatMap((room) => room.claims);
  }

  get totalClaims(): number {
    return this.shown.reduce((sum, room) => sum + room.totalClaims, 0);
  }

  /** Every worker once, though it may work for several projects. */
  workersOf(root: string | undefined): Worker[] {
    const room = this.shown.find((one) => one.project.root === root) ?? this.shown[0];
    return room?.snapshot?.workers ?? [];
  }

  /** The project that has a plan. */
  roomOfPlan(id: string): Room | undefined {
    return this.shown.find((room) => room.snapshot?.plans.some((plan) => plan.plan_id === id));
  }

  /** What a project is called: by its folder, and by the one around it where two are called the same. */
  nameOf(room: Room): string {
    const { name, root } = room.project;
    const isAlone = this.shown.every((other) => other === room || other.project.name !== name);
    return isAlone ? name : vscode.Uri.parse(root).path.split('/').slice(-2).join('/');
  }

  /** The project's name where there are several, for what stands in one list. */
  label(root: string | undefined): string {
    const room = this.shown.length > 1 && this.shown.find((one) => one.project.root === root);
    return room ? this.nameOf(room) : '';
  }

  /** In which project a file lies, and its path there. */
  place(uri: vscode.Uri): { room: Room; path: string } | undefined {
    let found: { room: Room; path: string; length: number } | undefined;
    for (const room of this.rooms) {
      for (const { base, path } of room.bases) {
        const rest = below(base, uri.path);
        if (rest === undefined || (found && found.length >= base.length)) continue;
        found = { room, path: [path, rest].filter((part) => part !== '').join('/'), length: base.length };
      }
    }
    return found;
  }

  private add(event: Event): void {
    const room = this.shown.find((one) => one.project.root === event.root);
    // Of a second worktree the same was told with the first.
    if (!room) return;
    this.events.push(event);
    if (this.events.length > MOST_EVENTS) this.events.shift();
    const id = keyOf(event);
    const concern = concernOf(event);
    if (id !== undefined && concern !== undefined) {
      this.marks++;
      if (concern === 'finished') this.unseen.add(id);
      // It failed again: that has not been seen. The event may come later than the state that it explains.
      if (concern === 'needs-you' && event.seq > this.seenUpTo) this.seen.delete(id);
    }
    this.attempts.clear();
    this.eventAdded.fire(event);
    if (event.kind.startsWith('claim.')) this.pages.touch(event.root);
    this.touch(room);
  }

  private async fillEvents(room: Room): Promise<void> {
    const { root } = room.project;
    try {
      const { events } = await this.server.call<{ events: Event[] }>('status', { scope: 'events', limit: MOST_EVENTS }, root);
      if (!this.shown.includes(room)) return;
      const known = new Set(this.events.map(({ seq }) => seq));
      const old = events.filter(({ seq }) => !known.has(seq)).map((event) => ({ ...event, root }));
      this.events = [...old, ...this.events].sort((a, b) => a.seq - b.seq).slice(-MOST_EVENTS);
      this.changed.fire();
    } catch (error) {
      this.server.log.warn(`the events could not be read: ${sentence(error)}`);
    }
  }

  private touch(room: Room): void {
    this.stale.add(room.project.root);
    void this.ask();
  }

  /** Asks for everything again. */
  refresh(): Promise<void> {
    for (const room of this.shown) this.stale.add(room.project.root);
    return this.ask();
  }

  private ask(): Promise<void> {
    this.asking ??= this.askAll().finally(() => {
      this.asking = undefined;
      if (this.stale.size > 0 && this.server.state === 'ready') void this.ask();
    });
    return this.asking;
  }

  private async askAll(): Promise<void> {
    if (this.server.state !== 'ready') return;
    const rooms = this.shown.filter((room) => this.stale.has(room.project.root));
    this.stale.clear();
    await Promise.all(rooms.map((room) => this.askOf(room)));
  }

  private async askOf(room: Room): Promise<void> {
    const { root } = room.project;
    try {
      const [overview, workers, conductors] = await Promise.all([
        this.server.call<Overview>('status', { scope: 'overview' }, root),
        this.server.call<{ workers: Worker[] }>('status', { scope: 'workers', limit: PAGE }, root),
        this.server.call<{ conductors: Conductor[] }>('status', { scope: 'conductors', limit: PAGE }, root),
      ]);
      let old = 0;
      const wanted = overview.plans.filter((plan) => !isOver(plan.state) || old++ < MOST_OLD_PLANS);
      const stages = await this.stages(overview, root);
      // Of many plans not all are named there; one that waits for a person is shown in any case.
      const ids = new Set([...wanted.map((plan) => plan.plan_id), ...stages.map(({ run }) => run)]);
      const plans = await Promise.all([...ids].map((id) => this.plan(id, root)));
      this.take(room, {
        overview,
        plans: plans.filter((plan): plan is PlanStatus => plan !== undefined),
        workers: workers.workers,
        conductors: conductors.conductors,
        stages,
      });
    } catch (error) {
      this.server.log.warn(`the status could not be read: ${sentence(error)}`);
    }
  }

  /** Takes over what is known of a project now. */
  take(room: Room, snapshot: Snapshot): void {
    // Rows that are drawn anew while somebody clicks on one are lost to that click.
    const facts = JSON.stringify(snapshot, (key, value: unknown) => (PASSING.has(key) ? undefined : value));
    room.snapshot = snapshot;
    if (facts === room.facts && this.marks === this.marksShown) return;
    room.facts = facts;
    this.marksShown = this.marks;
    this.changed.fire();
  }

  /** All stages that wait for a person. */
  private async stages({ to_approve: named = [] }: Overview, root: string): Promise<ToApprove[]> {
    if (named.length < NAMED_STAGES) return named;
    try {
      const { runs = [] } = await this.server.call<PipelineResult>('pipeline', { action: 'list' }, root);
      const listed = runs.flatMap(({ run, to_approve: stages = [] }) => stages.map((stage) => ({ run, stage })));
      return [...new Map([...named, ...listed].map((one) => [`${one.run}#${one.stage}`, one])).values()];
    } catch (error) {
      this.server.log.warn(`the pipelines could not be read: ${sentence(error)}`);
      return named;
    }
  }

  private async plan(id: string, root: string): Promise<PlanStatus | undefined> {
    const ask = (params: object): Promise<PlanStatus> =>
      this.server.call<PlanStatus>('status', { scope: 'plan', id, limit: PAGE, ...params }, root);
    try {
      const plan = await ask({});
      for (let page = 1; plan.next_cursor !== undefined && page < MOST_PAGES; page++) {
        const more = await ask({ cursor: plan.next_cursor });
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
  task(id: string, root: string | undefined): Promise<TaskStatus> {
    let task = this.attempts.get(id);
    if (!task) {
      task = this.server.call<TaskStatus>('status', { scope: 'task', id }, root);
      this.attempts.set(id, task);
      task.catch(() => this.attempts.delete(id));
    }
    return task;
  }

  get needs(): Need[] {
    return this.shown.flatMap(({ snapshot }) => {
      if (!snapshot) return [];
      const needs = this.known.get(snapshot) ?? needsOf(snapshot.plans, snapshot.stages);
      this.known.set(snapshot, needs);
      return needs;
    });
  }

  /** What the server warns of, with the project's top folder. */
  get warnings(): { root: string; text: string }[] {
    const { needs } = this;
    return this.shown.flatMap(({ project: { root }, snapshot }) =>
      warningsOf(snapshot?.overview.warnings ?? [], needs).map((text) => ({ root, text })));
  }

  /** What needs the person and was not looked at yet. */
  get unseenNeeds(): Need[] {
    return this.needs.filter(({ key }) => !this.seen.has(key));
  }

  isUnseen(id: string): boolean {
    return this.unseen.has(id);
  }

  markSeen(): void {
    const overviews = this.shown.map((room) => room.snapshot?.overview.seq ?? 0);
    this.seenUpTo = Math.max(this.seenUpTo, ...overviews, ...this.plans.map((plan) => plan.seq ?? 0));
    for (const { key } of this.needs) this.seen.add(key);
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
    clearInterval(this.clock);
    for (const one of [...this.subscriptions, this.minute, this.changed, this.claimsChanged, this.eventAdded]) one.dispose();
  }
}

export function isOver(state: string): boolean {
  return state === 'done' || state === 'stopped';
}

/** The rest of a path below a folder, empty for the folder itself; nothing for what lies elsewhere. */
function below(folder: string, path: string): string | undefined {
  const base = folder.replace(/\/+$/, '');
  if (path === base) return '';
  return path.startsWith(`${base}/`) ? path.slice(base.length + 1) : undefined;
}
