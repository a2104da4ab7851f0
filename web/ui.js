// What all views are made of. What a worker or a plan says only ever becomes text.
import { html, signal, useEffect, useLayoutEffect, useRef, useState } from './preact.js';
import { act, now, lately, skew } from './wire.js';
import { refresh } from './store.js';

export { html };

/** The place in the board: `#/plans/ID/TASK?filter=…`. */
export const route = signal(read());
function read() {
  const [path, query] = location.hash.replace(/^#\/?/, '').split('?');
  return { parts: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query ?? '') };
}
function decode(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}
addEventListener('hashchange', () => { route.value = read(); });
export const to = (...parts) => `#/${parts.map(encodeURIComponent).join('/')}`;
export const toTask = (id) => { const at = id.indexOf('/'); return to('plans', id.slice(0, at), id.slice(at + 1)); };
/** Changes the query of the place without a step in the history. */
export function keep(changes) {
  const { query } = read();
  for (const [key, value] of Object.entries(changes)) if (value) query.set(key, value); else query.delete(key);
  const text = query.toString();
  history.replaceState(null, '', `${location.hash.split('?')[0]}${text ? `?${text}` : ''}`);
  route.value = read();
}

// Tone and sign of each state: never the colour alone.
const STATES = {
  waiting: ['mute', 'ring'], ready: ['mute', 'dot'], draft: ['mute', 'ring'], idle: ['mute', 'ring'], stopped: ['mute', 'stop'], cancelled: ['mute', 'stop'], skipped: ['mute', 'ring'], queued: ['mute', 'dot'],
  running: ['info', 'play'], busy: ['info', 'play'], starting: ['info', 'play'], creating: ['info', 'play'], stopping: ['info', 'stop'], judging: ['info', 'gem'], landing: ['info', 'up'], approved: ['good', 'up'],
  done: ['good', 'check'], ok: ['good', 'check'], pass: ['good', 'check'], submitted: ['good', 'check'], merged: ['good', 'check'],
  paused: ['warn', 'pause'], 'rate-limited': ['warn', 'pause'], 'over-budget': ['warn', 'pause'], attention: ['warn', 'warn'], alert: ['warn', 'warn'], flaky: ['warn', 'warn'], quiet: ['warn', 'warn'], blocked: ['warn', 'bar'], interrupted: ['warn', 'bar'], missing: ['warn', 'warn'],
};
const SIGNS = {
  ring: 'M8 3a5 5 0 1 0 0 10A5 5 0 1 0 8 3', dot: 'M8 3a5 5 0 1 0 0 10A5 5 0 1 0 8 3M8 7.500a.5.5 0 1 0 0 1 .5.5 0 1 0 0-1', play: 'M6 4l6 4-6 4z', stop: 'M4.500 4.500h7v7h-7z', gem: 'M8 2.500L13.500 8 8 13.500 2.500 8z',
  up: 'M8 13V4M4 7.500L8 3.500l4 4', check: 'M3.500 8.500l3 3 6-7', pause: 'M5.500 4v8M10.500 4v8', warn: 'M8 3l6 10.500H2zM8 7v3M8 12v.1', bar: 'M8 3a5 5 0 1 0 0 10A5 5 0 1 0 8 3M4.500 4.500l7 7', cross: 'M4.500 4.500l7 7M11.500 4.500l-7 7',
};
const of = (name) => STATES[name] ?? ['bad', 'cross'];
export const tone = (name) => of(name)[0];

export function Sign({ name }) {
  const [tone, sign] = of(name);
  return html`<svg class="sign ${tone}" viewBox="0 0 16 16" aria-hidden="true"><path d=${SIGNS[sign]} /></svg>`;
}
export function State({ name, text }) {
  return html`<span class="state ${tone(name)}"><${Sign} name=${name} />${text ?? name}</span>`;
}

export const money = (usd) => usd === null || usd === undefined ? '–' : `$${usd.toFixed(usd !== 0 && Math.abs(usd) < 0.1 ? 3 : 2)}`;
export const count = (n, one, many = `${one}s`) => `${big(n)} ${n === 1 ? one : many}`;
export const big = (n) => n.toLocaleString('en');
export function size(bytes) {
  const units = ['B', 'KB', 'MB', 'GB'];
  let at = 0;
  for (; bytes >= 1000 && at < 3; at++) bytes /= 1000;
  return `${at && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[at]}`;
}
export function span(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s < 600 && s % 60 ? ` ${s % 60} s` : ''}`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return count(Math.floor(s / 86400), 'day');
}
/** How long ago something was, or in how long it will be, by the server's clock. */
export function Ago({ at }) {
  if (!at) return null;
  const ms = lately.value + skew.value - Date.parse(at);
  const text = Math.abs(ms) < 12000 ? 'now' : ms < 0 ? `in ${span(-ms)}` : `${span(ms)} ago`;
  return html`<time dateTime=${at} title=${new Date(at).toLocaleString()}>${text}</time>`;
}
/** How long something takes or took. */
export function Lasted({ from, until }) {
  const end = until ? Date.parse(until) : now.value + skew.value;
  return span(end - Date.parse(from));
}
export const clock = (at) => new Date(at).toLocaleTimeString('en-GB');

/** A colour for a name, the same wherever it is; names share one only where there are more than eight. */
export function hue(name) {
  if (!hues.has(name)) hues.set(name, hues.size % 8);
  return `hue${hues.get(name)}`;
}
const hues = new Map();

export function Progress({ done, total, running = 0, failed = 0, label }) {
  const part = (n) => ({ width: `${total ? (100 * n) / total : 0}%` });
  const text = `${big(done)} of ${big(total)} done${running ? `, ${big(running)} at work` : ''}${failed ? `, ${big(failed)} failed or blocked` : ''}`;
  return html`<div class="progress" role="img" aria-label="${label ? `${label}: ` : ''}${text}">
    <i class="good" style=${part(done)} /><i class="info" style=${part(running)} /><i class="bad" style=${part(failed)} /></div>`;
}

export function Empty({ children }) {
  return html`<p class="empty">${children}</p>`;
}
export function Trouble({ error }) {
  return error ? html`<div class="trouble" role="alert"><${Sign} name="failed" /><div><b>${error.message}</b>${error.hint && html`<br />${error.hint}`}</div></div>` : null;
}
/** The answer of a question once it is there; until then that it is coming. */
export function Answered({ asked, children }) {
  return html`<${Trouble} error=${asked.error} />${asked.data ? children(asked.data) : !asked.error && html`<p class="empty" aria-busy="true">Reading…</p>`}`;
}
export function Page({ title, aside, children }) {
  useEffect(() => { document.title = `${title} · Kapell`; }, [title]);
  return html`<header class="top"><h1 tabindex="-1">${title}</h1>${aside}</header>${children}`;
}
/** Buttons of which one is pressed. */
export function Choice({ label, value, options, choose }) {
  return html`<div class="choice" role="group" aria-label=${label}>${options.map(([key, text]) => html`
    <button type="button" aria-pressed=${String(key === value)} onClick=${() => choose(key)}>${text}</button>`)}</div>`;
}

/** A list of any length: only the rows in sight are drawn. */
export function Rows({ total, height, row, label, role = 'list', reach, ...more }) {
  const box = useRef();
  const [{ top, room }, see] = useState({ top: 0, room: 600 });
  const look = () => {
    const { scrollTop, clientHeight } = box.current;
    see((old) => old.top === scrollTop && old.room === clientHeight ? old : { top: scrollTop, room: clientHeight });
  };
  useLayoutEffect(() => {
    look();
    const sizes = new ResizeObserver(look);
    sizes.observe(box.current);
    return () => sizes.disconnect();
  }, []);
  useLayoutEffect(() => {
    if (reach === undefined || reach < 0) return;
    const { scrollTop, clientHeight } = box.current;
    if (reach * height < scrollTop) box.current.scrollTop = reach * height;
    else if ((reach + 1) * height > scrollTop + clientHeight) box.current.scrollTop = (reach + 1) * height - clientHeight;
  }, [reach]);
  const first = Math.max(0, Math.floor(top / height) - 6);
  const last = Math.min(total, Math.ceil((top + room) / height) + 6);
  const shown = [];
  for (let at = first; at < last; at++) shown.push(row(at, { position: 'absolute', top: `${at * height}px`, height: `${height}px`, left: 0, right: 0 }));
  return html`<div class="rows" ref=${box} onScroll=${look} tabindex="0" role="group" aria-label=${label} ...${more}>
    <div role=${role} aria-label=${label} style=${{ height: `${total * height}px` }}>${shown}</div></div>`;
}

// Dialogs: one at a time, with the focus kept in it and given back after it.
const open = signal(null);

/** Asks before something is done that cannot be undone; `word` must be typed where it is grave. */
export function ask({ title, text, items, yes, danger = true, word, field, wide, body }) {
  return new Promise((resolve) => { open.value = { title, text, items, yes, danger, word, field, wide, body, resolve }; });
}
export function Dialogs() {
  const it = open.value;
  return it && html`<${Dialog} key=${it.title} ...${it} />`;
}
function Dialog({ title, text, items, yes, danger, word, field, wide, body, resolve }) {
  const box = useRef();
  const [typed, type] = useState(field?.value ?? '');
  useLayoutEffect(() => {
    const before = document.activeElement;
    box.current.showModal();
    return () => { if (before?.isConnected) before.focus(); };
  }, []);
  const end = (answer) => { open.value = null; resolve(answer); };
  const isReady = word ? typed === word : !field?.needed || typed.trim();
  return html`<dialog ref=${box} class=${wide ? 'wide' : ''} aria-labelledby="ask" onClose=${() => end(null)} onClick=${(e) => e.target === box.current && end(null)}>
    <form method="dialog" onSubmit=${(e) => { e.preventDefault(); if (isReady) end(field ? typed : true); }}>
      <h2 id="ask">${title}</h2>
      ${text && html`<p>${text}</p>`}
      ${items?.length > 0 && html`<ul>${items.map((item) => html`<li>${item}</li>`)}</ul>`}
      ${body}
      ${(word || field) && html`<label>${word ? html`To be sure, type <b>${word}</b>` : field.label}
        <input value=${typed} onInput=${(e) => type(e.target.value)} autocomplete="off" spellcheck=${false} /></label>`}
      <footer><button type="button" autofocus=${!word && !field && danger} onClick=${() => end(null)}>${yes ? 'Leave it' : 'Close'}</button>
        ${yes && html`<button type="submit" class=${danger ? 'danger' : 'primary'} disabled=${!isReady}>${yes}</button>`}</footer>
    </form></dialog>`;
}

const toasts = signal([]);
let told = 0;
export function tell(text, tone = 'good', hint) {
  const id = ++told;
  const close = () => { toasts.value = toasts.peek().filter((it) => it.id !== id); };
  toasts.value = [...toasts.peek().slice(-3), { id, text, tone, hint, close }];
  setTimeout(close, tone === 'bad' ? 20000 : 6000);
}
export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">${toasts.value.map((it) => html`
    <div key=${it.id} class="toast ${it.tone}"><${Sign} name=${it.tone === 'bad' ? 'failed' : 'done'} /><span>${it.text}${it.hint && html`<br /><small>${it.hint}</small>`}</span>
      <button type="button" class="plain" aria-label="Dismiss" onClick=${it.close}>×</button></div>`)}</div>`;
}

/** Has something done and tells what came of it, unless `words` are null; gives `null` where it was refused. */
export async function perform(method, params, words) {
  try {
    const answer = await act(method, params);
    if (words !== null) tell(answer.message || words || 'done');
    for (const it of answer.failed ?? []) tell(`${it.name}${it.sub ? ` ${it.sub}` : ''}: ${it.message}`, 'bad', it.hint);
    return answer;
  } catch (error) {
    tell(error.message, 'bad', error.hint);
    return null;
  } finally {
    refresh();
  }
}

/** A button that does something, asks first where `asks` says what, and is not pressed twice. */
export function Do({ method = 'control', params, asks, words, class: look, label, children, then }) {
  const [busy, set] = useState(false);
  const press = async () => {
    let more = {};
    if (asks) {
      const answer = await ask(asks);
      if (answer === null) return;
      if (asks.field) more = { [asks.field.name]: answer };
    }
    set(true);
    const answer = await perform(method, { ...params, ...more }, words);
    set(false);
    if (answer && then) then(answer);
  };
  return html`<button type="button" class=${look} aria-label=${label} aria-busy=${busy} disabled=${busy} onClick=${press}>${children}</button>`;
}
/** Buttons for the stages of a pipeline that wait for a person, as the reason of the plan names them. */
export function Approvals({ reason }) {
  return [...(reason ?? '').matchAll(/kapell pipeline approve (\S+) ([^\s,;]+)/g)].map(([, run, stage]) => html`
    <${Do} key=${stage} params=${control('approve', `${run}/${stage}`)} class="primary" words="approved" asks=${{ title: `Approve ${stage} of ${run}?`, text: 'What the stage does begins at once; a stage that deploys cannot be called back.', yes: 'Approve it', danger: false }}>Approve ${stage}…<//>`);
}
export const control = (action, target, more) => ({ action, target, ...more });
