// The connection: one WebSocket for calls and for events. It comes back by itself, and says how far it is behind.
import { signal, computed } from './preact.js';

const KEY = 'kapell.token';
/** So long nothing is heard before the server is asked whether it is there. */
const QUIET = 10000;
/** So long an answer to that may take. */
const PATIENCE = 8000;
/** Who missed more events than this begins anew instead of reading all of them. */
const MOST_MISSED = 2000;

/** `opening`, `live`, `silent` (no answer), `down` (with `retry`), `denied` or `none` (no token). */
export const link = signal({ state: 'opening', since: Date.now() });
/** The number of the newest event that was seen here, and of the newest that there is. */
export const seen = signal(0);
export const newest = signal(0);
/** How many milliseconds the server's clock is ahead of this one. */
export const skew = signal(0);
/** This moment, once a second, and once in ten. */
export const now = signal(Date.now());
export const lately = signal(Date.now());

export const isLive = computed(() => link.value.state === 'live');

const listeners = new Set();
/** Called with the events of a moment, and with `{gap}` where some were left out. */
export function onEvents(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

let socket = null;
let token = null;
let number = 0;
let tries = 0;
let heard = 0;
let timer = null;
let probe = null;
let subscription = null;
const waiting = new Map();
const queue = [];
let bundle = [];

/** What was refused, with the next step. */
export class Refused extends Error {
  constructor({ code, message, data }) {
    super(message);
    this.code = code;
    this.kind = data?.kind;
    this.hint = data?.hint;
    this.data = data;
  }
}

/** The token of the address is kept for this tab only, and wiped from the address bar. */
export function takeToken() {
  const found = /^#token=([^&]+)/.exec(location.hash);
  if (found) {
    sessionStorage.setItem(KEY, decodeURIComponent(found[1]));
    history.replaceState(null, '', `${location.pathname}#/`);
    dispatchEvent(new HashChangeEvent('hashchange'));
  }
  token = sessionStorage.getItem(KEY);
  return token;
}

export function setToken(text) {
  const address = /token=([^&\s]+)/.exec(text);
  sessionStorage.setItem(KEY, address ? decodeURIComponent(address[1]) : text.trim());
  token = sessionStorage.getItem(KEY);
  connect();
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
  token = null;
  socket?.close();
  state('none');
}

function state(name, more) {
  const before = link.peek();
  // What is seen then is as old as what was heard last.
  const since = name === 'live' ? Date.now() : before.state === 'live' ? heard : before.since;
  link.value = { state: name, since, ...more };
}

/** Opens the connection, at once. */
export function connect() {
  clearTimeout(timer);
  if (!token) return state('none');
  socket?.close();
  if (!['down', 'silent'].includes(link.peek().state)) state('opening');
  let mine;
  try {
    const scheme = location.protocol === 'https:' ? 'wss' : 'ws';
    mine = new WebSocket(`${scheme}://${location.host}/rpc`, ['kapell', `kapell.bearer.${token}`]);
  } catch {
    // What cannot be part of a header is no token.
    return state('denied');
  }
  socket = mine;
  setTimeout(() => { if (mine === socket && !isLive.peek()) { mine.close(); lost(); } }, PATIENCE);
  mine.onmessage = ({ data }) => { heard = Date.now(); for (const it of [JSON.parse(data)].flat()) receive(it); };
  mine.onopen = () => { heard = Date.now(); follow(mine); };
  mine.onclose = () => { if (mine === socket) lost(); };
}

async function lost() {
  socket = null;
  subscription = null;
  clearTimeout(probe);
  for (const [, it] of waiting) {
    if (it.retry) queue.unshift(it);
    else it.reject(new Refused({ message: 'the connection ended before the answer came', data: { kind: 'system', hint: 'look whether it was done before you ask again' } }));
  }
  waiting.clear();
  // A browser does not tell why a WebSocket was refused; a request does.
  const answer = await fetch('/rpc', {
    method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: '{"jsonrpc":"2.0","id":1,"method":"status"}', signal: AbortSignal.timeout(PATIENCE / 2),
  }).catch(() => null);
  if (socket || !token) return;
  if (answer && (answer.status === 401 || answer.status === 403)) return state('denied');
  const wait = Math.min(15000, 500 * 2 ** tries++) * (0.75 + Math.random() / 2);
  state('down', { retry: Date.now() + wait });
  clearTimeout(timer);
  timer = setTimeout(connect, wait);
}

/** Subscribes from the newest event on, or from the last that was seen if not too many were missed. */
async function follow(mine) {
  try {
    const { seq, events } = await send('status', { scope: 'events', limit: 1 });
    newest.value = Math.max(newest.peek(), events.at(-1)?.seq ?? 0);
    const last = seen.peek();
    const is_gap = last > 0 && seq - last > MOST_MISSED;
    const since = last > 0 && !is_gap && seq >= last ? last : seq;
    const opened = await send('events.subscribe', { since_seq: since });
    if (mine !== socket) return;
    subscription = opened.subscription;
    if (last === 0 || is_gap || seq < last) seen.value = since;
    tries = 0;
    state('live');
    tell({ gap: last > 0 && (is_gap || seq < last), again: last > 0, events: [] });
    for (const it of queue.splice(0)) post(it);
    ask();
    measure();
  } catch {
    mine.close();
  }
}

function receive(message) {
  if (message.method === 'events.event') {
    const { event } = message.params;
    if (message.params.subscription !== subscription && subscription !== null) return;
    seen.value = Math.max(seen.peek(), event.seq);
    newest.value = Math.max(newest.peek(), event.seq);
    if (bundle.push(event) === 1) setTimeout(() => { const events = bundle; bundle = []; tell({ events }); }, 60);
    return;
  }
  const it = waiting.get(message.id);
  if (!it) return;
  waiting.delete(message.id);
  clearTimeout(it.late);
  if (message.error) it.reject(new Refused(message.error));
  else it.resolve(message.result);
}

function tell(news) {
  for (const listener of listeners) listener(news);
}

function post(it) {
  const id = ++number;
  waiting.set(id, it);
  socket.send(JSON.stringify({ jsonrpc: '2.0', id, method: it.method, params: it.params }));
}

function send(method, params) {
  return new Promise((resolve, reject) => post({ method, params, resolve, reject }));
}

/** Asks something. It waits for the connection, and is asked again after it was lost. */
export function read(method, params) {
  return new Promise((resolve, reject) => {
    const it = { method, params, resolve, reject, retry: true };
    if (isLive.peek() && socket?.readyState === 1) post(it);
    else queue.push(it);
  });
}

/** Has something done: once, and only while there is a connection. */
export function act(method, params) {
  if (isLive.peek() && socket?.readyState === 1) return send(method, params);
  return Promise.reject(new Refused({ message: 'there is no connection to the server', data: { kind: 'system', hint: 'it is tried again by itself; nothing was done' } }));
}

/** Reads a document over HTTP. */
export async function fetched(path, signal) {
  const answer = await fetch(path, { headers: { authorization: `Bearer ${token}` }, signal });
  if (answer.ok) return answer;
  const error = await answer.json().catch(() => ({}));
  throw new Refused({ code: answer.status, message: error.message ?? `${path} answered ${answer.status}`, data: { kind: error.code, hint: error.hint } });
}

/** Asks whether the server is there, and for the newest event's number: an event that does not come is missed. */
function ask(delay = QUIET) {
  clearTimeout(probe);
  const mine = socket;
  probe = setTimeout(async () => {
    if (mine !== socket) return;
    if (delay && Date.now() - heard < QUIET / 2 && newest.peek() === seen.peek()) return ask();
    const late = setTimeout(() => { state('silent'); mine.close(); if (mine === socket) lost(); }, PATIENCE);
    try {
      const { events } = await send('status', { scope: 'events', limit: 1 });
      newest.value = events.at(-1)?.seq ?? newest.peek();
      if (newest.peek() > seen.peek()) setTimeout(() => {
        // It should have come by now: begin again from the last that was seen.
        if (mine === socket && newest.peek() > seen.peek()) mine.close();
      }, PATIENCE);
    } catch { /* the connection ended */ }
    clearTimeout(late);
    ask();
  }, delay);
}

/** Compares the clocks, to the second, so that ages are right and a wrong clock is told. */
async function measure() {
  const began = Date.now();
  const answer = await fetch('/healthz', { cache: 'no-store' }).catch(() => null);
  const date = Date.parse(answer?.headers.get('date') ?? '');
  if (!date) return;
  const difference = date + 500 - (began + Date.now()) / 2;
  skew.value = Math.abs(difference) > 2000 ? Math.round(difference) : 0;
}

let ticks = 0;
setInterval(() => {
  const at = Date.now();
  const slept = at - now.peek() > 20000;
  now.value = at;
  if (ticks++ % 10 === 0 || slept) lately.value = at;
  // After a sleep the connection may be dead without knowing it.
  if (slept && isLive.peek()) ask(0);
}, 1000);

addEventListener('online', () => { if (link.peek().state === 'down') connect(); });
