// What is shown, kept up to date: questions that are asked again when an event says so, plans of any size, events.
import { signal, batch, useEffect, useMemo } from './preact.js';
import { fetched, read, onEvents, isLive, lately } from './wire.js';

const questions = new Map();
const plans = new Map();
/** Between two askings of the same; more where an answer takes long. */
const PAUSE = 400;

/** A question whose answer is kept up to date while somebody looks at it. */
class Question {
  constructor(method, params, touched, every) {
    Object.assign(this, { method, params, touched, every, users: 0, began: 0, took: 0, busy: false, stale: true });
    this.answer = signal({});
  }

  spoil() {
    this.stale = true;
    this.plan();
  }

  plan() {
    if (!this.users || this.busy || this.timer || !this.stale || document.hidden) return;
    const wait = this.began ? Math.max(0, this.began + Math.max(PAUSE, 3 * this.took) - Date.now()) : 0;
    this.timer = setTimeout(() => { this.timer = null; this.ask(); }, wait);
  }

  async ask() {
    Object.assign(this, { busy: true, stale: false, began: Date.now() });
    try {
      const data = await this.fetch();
      this.answer.value = { data, at: Date.now() };
    } catch (error) {
      this.answer.value = { ...this.answer.peek(), error };
    }
    this.took = Date.now() - this.began;
    this.busy = false;
    this.plan();
  }

  /** All pages of a list, if the parameters ask for `pages`. */
  async fetch() {
    const { pages, ...params } = this.params;
    let whole = null;
    for (let page = 0, cursor; page < (pages ?? 1); page++) {
      const answer = await read(this.method, { ...params, ...(cursor && { cursor }) });
      if (!whole) whole = answer;
      else for (const [key, value] of Object.entries(answer)) if (Array.isArray(value)) whole[key].push(...value);
      cursor = answer.next_cursor;
      whole.next_cursor = cursor;
      if (!cursor) break;
    }
    return whole;
  }
}

/** The answer to a question: `{data, error}`. `touched(event)` says what makes it old, `every` (s) what no event tells. */
export function useAsked(method, params, touched = () => true, every = 30) {
  const key = JSON.stringify([method, params]);
  const question = useMemo(() => {
    let it = questions.get(key);
    if (!it) questions.set(key, it = new Question(method, params, touched, every));
    return it;
  }, [key]);
  useEffect(() => {
    question.users++;
    if (Date.now() - question.began > 2000) question.stale = true;
    question.plan();
    return () => {
      question.users--;
      if (questions.size > 60) for (const [name, it] of questions) if (!it.users) questions.delete(name);
    };
  }, [question]);
  return question.answer.value;
}

/** Has everything asked again, after something was done. */
export function refresh() {
  for (const it of questions.values()) it.spoil();
  for (const it of plans.values()) it.spoil();
}

onEvents(({ events, gap, again }) => {
  if (gap || again) refresh();
  if (!events.length) return;
  for (const it of questions.values()) if (!it.stale && events.some(it.touched)) it.spoil();
  for (const it of plans.values()) it.hear(events);
});
lately.subscribe((at) => {
  for (const it of questions.values()) if (it.every && at - it.began > it.every * 1000) it.spoil();
  for (const it of plans.values()) if (at - it.began > 15000) it.spoil();
});
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
isLive.subscribe(() => { for (const it of questions.values()) it.plan(); });

/** More changed tasks than this are read page by page, not one by one. */
const ONE_BY_ONE = 12;

/** A plan with all its tasks: read once, page by page, then task by task as events tell. */
class Plan {
  constructor(id) {
    this.id = id;
    this.tasks = [];
    this.places = new Map();
    this.head = signal(null);
    this.error = signal(null);
    /** Grows with each change of a task; and with each change of which tasks there are. */
    this.version = signal(0);
    this.shape = signal(0);
    this.isWhole = signal(false);
    this.changed = new Set();
    this.users = 0;
    this.began = 0;
    this.took = 0;
    this.again = false;
  }

  hear(events) {
    let any = false;
    for (const event of events) {
      if (event.plan_id !== this.id) continue;
      any = true;
      const place = event.task === undefined ? undefined : this.places.get(String(event.task));
      if (place === undefined) continue;
      if (event.kind === 'task.state' && event.data?.to) this.tasks[place] = { ...this.tasks[place], state: event.data.to };
      if (event.kind !== 'attempt.said' && event.kind !== 'attempt.tool') this.changed.add(place);
    }
    if (any) {
      this.version.value++;
      this.spoil();
    }
  }

  spoil() {
    this.again = true;
    this.plan();
  }

  plan() {
    if (!this.users || this.busy || this.timer || !this.again || document.hidden) return;
    this.timer = setTimeout(() => { this.timer = null; this.load(); }, Math.max(0, this.began + Math.max(PAUSE, 3 * this.took) - Date.now()));
  }

  async load() {
    Object.assign(this, { busy: true, again: false, began: Date.now() });
    try {
      const places = [...this.changed];
      if (!this.isWhole.peek()) await this.pages(-1);
      else if (places.length > ONE_BY_ONE) {
        this.changed.clear();
        // Changed tasks mostly lie beside each other: pages are read from the first on, and what lies between is left out.
        places.sort((a, b) => a - b);
        let after = -2;
        for (const place of places) if (place > after) after = await this.page(place - 1);
      } else {
        this.changed.clear();
        await Promise.all(places.map((place) => this.page(place - 1, 1)));
        if (!places.length) await this.page(-1, 1);
      }
      if (this.isWhole.peek() && this.head.peek().total > this.tasks.length) await this.pages(this.tasks.length - 1);
      this.error.value = null;
    } catch (error) {
      this.error.value = error;
    }
    this.took = Date.now() - this.began;
    this.busy = false;
    this.plan();
  }

  async pages(after) {
    for (let end = after; end !== null;) end = await this.page(end, 500, true);
    this.isWhole.value = true;
    this.shape.value++;
  }

  /** Reads the tasks after a place, and gives the last place it read; null, told to go on, at the end. */
  async page(after, limit = 500, goes_on = false) {
    // By their path pages are large; a call's answer is small, for models.
    const { tasks, next_cursor, ...head } = limit > 1
      ? await (await fetched(`/api/plans/${encodeURIComponent(this.id)}?limit=${limit}${after >= 0 ? `&cursor=${after}` : ''}`)).json()
      : await read('status', { scope: 'plan', id: this.id, limit, ...(after >= 0 && { cursor: String(after) }) });
    batch(() => {
      let is_new = false;
      tasks.forEach((task, at) => {
        const place = after + 1 + at;
        is_new ||= place >= this.tasks.length || this.tasks[place].id !== task.id;
        this.tasks[place] = task;
        this.places.set(String(task.id), place);
      });
      this.head.value = head;
      this.version.value++;
      // What is drawn is put in its place once, when the first page is there, and when all are.
      if (is_new && (after < 0 || this.isWhole.peek())) this.shape.value++;
    });
    const end = after + tasks.length;
    return goes_on && !next_cursor ? null : end;
  }
}

export function usePlan(id) {
  const plan = useMemo(() => {
    let it = plans.get(id);
    if (!it) plans.set(id, it = new Plan(id));
    return it;
  }, [id]);
  useEffect(() => {
    plan.users++;
    plan.spoil();
    return () => {
      plan.users--;
      if (plans.size > 4) for (const [name, it] of plans) if (!it.users) plans.delete(name);
    };
  }, [plan]);
  return plan;
}

/** The newest events, oldest first; where some were missed a line says so. */
export const events = signal([]);
const MOST_EVENTS = 5000;
let newestKept = 0;

onEvents(({ events: more, gap }) => {
  const fresh = more.filter((event) => event.seq > newestKept);
  if (!fresh.length && !gap) return;
  if (fresh.length) newestKept = fresh.at(-1).seq;
  const marks = gap ? [{ seq: newestKept + 0.5, kind: 'gap', text: 'events were left out here while this page was away', at: new Date().toISOString() }] : [];
  events.value = [...events.peek(), ...marks, ...fresh].slice(-MOST_EVENTS);
});

/** Reads events from before the oldest that is kept; `false` if there are none. */
export async function olderEvents() {
  const first = events.peek()[0]?.seq;
  if (first === undefined) {
    const { events: found } = await read('status', { scope: 'events', limit: 100 });
    if (!found.length) return false;
    newestKept = Math.max(newestKept, found.at(-1).seq);
    const known = new Set(events.peek().map((it) => it.seq));
    events.value = [...found.filter((it) => !known.has(it.seq)), ...events.peek()];
    return true;
  }
  // Numbers of other projects lie between: the step grows until something of this one is found.
  for (let step = 200, end = first; end > 1; step *= 4) {
    const since = Math.max(0, end - 1 - step);
    let found = [];
    for (let after = since; ;) {
      const answer = await read('status', { scope: 'events', since_seq: after, limit: 500 });
      const before = answer.events.filter((it) => it.seq < first);
      found.push(...before);
      if (before.length < answer.events.length || !answer.next_cursor) break;
      after = answer.events.at(-1).seq;
    }
    if (found.length) {
      events.value = [...found, ...events.peek()];
      return true;
    }
    end = since + 1;
    if (since === 0) break;
  }
  return false;
}
