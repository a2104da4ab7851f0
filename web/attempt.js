// An attempt: what it said, what it changed, what the gates saw, what it cost.
import { signal, useEffect, useLayoutEffect, useMemo, useRef, useState } from './preact.js';
import { fetched, isLive } from './wire.js';
import { Ago, Answered, Choice, Empty, Lasted, Page, Sign, State, Trouble, big, count, html, keep, money, route, span, to, toTask } from './ui.js';
import { useAsked } from './store.js';
import { TaskActions } from './plan.js';

const path = (id, what) => `/api/attempts/${encodeURIComponent(id)}/${what}`;

export function AttemptPage({ parts: [id] }) {
  const touched = (event) => event.attempt === id && event.kind !== 'attempt.said';
  const asked = useAsked('status', { scope: 'attempt', id }, touched, 10);
  const it = asked.data;
  return html`<${Page} title=${it ? `Try ${it.number} at ${it.task_id.slice(it.task_id.indexOf('/') + 1)}` : 'Attempt'} aside=${it && html`<${State} name=${it.outcome ?? it.state} />${it.verdict && html`<${State} name=${it.verdict === 'approved' ? 'done' : 'failed'} text=${it.verdict} />`}`}>
    <${Answered} asked=${asked}>${(it) => html`<${Attempt} ...${it} />`}<//><//>`;
}

function Attempt(it) {
  const task = useAsked('status', { scope: 'task', id: it.task_id }, (event) => `${event.plan_id}/${event.task}` === it.task_id && event.kind !== 'attempt.said', 20);
  const look = route.value.query.get('look') ?? (it.ended_at && it.changed.length ? 'diff' : 'log');
  const others = task.data?.attempts ?? [];
  return html`
    <p class="line"><a href=${to('plans', it.task_id.split('/')[0])}>${it.task_id.split('/')[0]}</a> › <a href=${toTask(it.task_id)}>task ${it.task_id.slice(it.task_id.indexOf('/') + 1)}</a>
      ${others.length > 1 && html`<span class="choice" role="group" aria-label="Tries">${others.map((other) => html`<a class="button" href=${to('attempts', other.attempt)} aria-current=${other.attempt === it.attempt ? 'page' : undefined}>${other.number}</a>`)}</span>`}</p>
    ${task.data && html`<p class="said">${task.data.task}</p>`}
    ${it.reason && html`<p class="reason"><${Sign} name=${it.outcome ?? it.state} />${it.reason}</p>`}
    ${task.data && others.at(-1)?.attempt === it.attempt && html`<${TaskActions} id=${it.task_id} state=${task.data.state} attempts=${others} />`}
    <dl class="figures"><div><dt>Worker</dt><dd><b>${it.worker}</b><span>${it.provider}</span></dd></div>
      <div><dt>${it.ended_at ? 'Took' : 'Runs for'}</dt><dd><b><${Lasted} from=${it.started_at} until=${it.ended_at} /></b><span>began <${Ago} at=${it.started_at} /></span></dd></div>
      <div><dt>Cost</dt><dd><b>${money(it.usage.usd)}</b><span>${big(it.usage.input_tokens)} in, ${big(it.usage.cached_tokens)} cached, ${big(it.usage.output_tokens)} out</span></dd></div>
      <div class=${it.outside_claim.length ? 'bad' : ''}><dt>Changed</dt><dd><b>${it.ended_at ? count(it.changed.length, 'file') : '–'}</b><span>${it.outside_claim.length ? `${it.outside_claim.length} outside its claim` : it.ended_at ? 'all within its claim' : 'counted when it is done'}</span></dd></div></dl>
    <div class="columns attempt"><section aria-labelledby="work" class="work"><div class="line spread"><h2 id="work" class="sr">What it did</h2><${Choice} label="Shown" value=${look} options=${[['log', 'Log'], ['diff', `Changes${it.changed.length ? ` (${it.changed.length})` : ''}`]]} choose=${(key) => keep({ look: key })} /></div>
        ${look === 'log' ? html`<${Log} key=${it.attempt} id=${it.attempt} />` : html`<${Diff} key=${`${it.attempt} ${it.ended_at}`} id=${it.attempt} outside=${it.outside_claim} />`}</section>
      <div><section aria-labelledby="gates"><h2 id="gates">Gates</h2>${it.gates.length ? html`<ul class="gates">${it.gates.filter((gate) => gate.outcome !== 'skipped').map((gate) => html`<${Gate} key=${gate.name} attempt=${it.attempt} ...${gate} />`)}</ul><${Skipped} gates=${it.gates.filter((gate) => gate.outcome === 'skipped')} />` : html`<${Empty}>${it.ended_at ? 'None has looked at it.' : 'They look at it when it is done.'}<//>`}</section>
        ${it.said && html`<section aria-labelledby="said"><h2 id="said">Its last words</h2><p class="said">${it.said}</p></section>`}
        ${it.outside_claim.length > 0 && html`<section aria-labelledby="outside"><h2 id="outside">Outside its claim</h2><ul>${it.outside_claim.map((file) => html`<li><code>${file}</code></li>`)}</ul></section>`}
        <section aria-labelledby="facts"><h2 id="facts">Facts</h2><dl class="facts"><dt>Attempt</dt><dd><code>${it.attempt}</code></dd>${it.wall && html`<dt>Wall</dt><dd>${it.wall}</dd>`}${it.worktree && html`<dt>Worktree</dt><dd><code>${it.worktree}</code></dd>`}${it.ref && html`<dt>Kept under</dt><dd><code>${it.ref}</code></dd>`}${it.window && html`<dt>tmux</dt><dd><code>${it.window}</code></dd>`}</dl></section></div></div>`;
}

function Skipped({ gates }) {
  return gates.length > 0 && html`<details class="small mute"><summary>${count(gates.length, 'gate was', 'gates were')} skipped</summary><dl class="facts">${gates.map((gate) => html`<dt>${gate.name}</dt><dd>${gate.why}</dd>`)}</dl></details>`;
}

function Gate({ attempt, name, outcome, why, evidence, duration_ms }) {
  const [whole, set] = useState(null);
  const read = async () => set(await fetched(path(attempt, `evidence/${encodeURIComponent(name)}`)).then((it) => it.json()).then((it) => it.evidence).catch((error) => `${error.message}${error.hint ? `: ${error.hint}` : ''}`));
  const isBad = !['pass', 'skipped', 'flaky'].includes(outcome);
  return html`<li class="card"><div class="line"><${State} name=${outcome} text=${name} /><small>${outcome}, ${duration_ms < 1000 ? `${duration_ms} ms` : span(duration_ms)}</small></div><p class="small">${why}</p>
    ${evidence && html`<details open=${isBad}><summary>Evidence</summary><pre tabindex="0" aria-label="Evidence of ${name}">${whole ?? evidence}</pre>${whole === null && html`<button type="button" onClick=${read}>All of it</button>`}</details>`}</li>`;
}

/** What a line of an agent's output says, for people; `null` where it says nothing to them. */
export function readable(line) {
  if (line[0] !== '{') return { text: line };
  let it;
  try { it = JSON.parse(line); } catch { return { text: line }; }
  const joined = (content) => typeof content === 'string' ? content : (content ?? []).map((part) => part.type === 'tool_use' ? `▸ ${part.name} ${brief(part.input)}` : part.text ?? (part.type === 'tool_result' ? `  ${joined(part.content)}` : '')).filter(Boolean).join('\n');
  if (it.kapell === 'usage' || it.type === 'usage') return { text: `${big(it.input_tokens ?? 0)} in, ${big(it.output_tokens ?? 0)} out${it.usd === undefined ? '' : `, ${money(it.usd)}`}`, tone: 'mute' };
  if (it.kapell) return { text: it.text ?? it.kapell, tone: it.kapell === 'result' ? 'good' : '' };
  if (it.message?.content) return { text: joined(it.message.content), tone: it.type === 'user' ? 'mute' : '' };
  if (it.item) return { text: it.item.text ?? (it.item.command ? `▸ ${it.item.command}` : it.item.type ?? ''), tone: it.item.command ? 'mute' : '' };
  if (it.type === 'result') return { text: String(it.result ?? it.subtype ?? ''), tone: 'good' };
  if (typeof it.part?.text === 'string') return { text: it.part.text };
  return typeof it.text === 'string' ? { text: it.text } : { text: line, tone: 'mute' };
}
const brief = (input) => { const text = String(input?.command ?? input?.file_path ?? input?.path ?? input?.pattern ?? (input ? JSON.stringify(input) : '')); return text.length > 160 ? `${text.slice(0, 160)}…` : text; };

/** So many lines are drawn, and so many kept. */
const DRAWN = 800;
const KEPT = 20000;

/** What the agent prints, as it prints it. */
function Log({ id }) {
  const log = useMemo(() => ({ lines: signal([]), ended: signal(false), error: signal(null), next: 0, dropped: 0, rest: '' }), [id]);
  const [more, show] = useState(DRAWN);
  const [isRaw, raw] = useState(false);
  const [isEnd, atEnd] = useState(true);
  const box = useRef();
  const live = isLive.value;
  useEffect(() => {
    if (!live || log.ended.peek()) return;
    const stop = new AbortController();
    (async () => {
      while (!stop.signal.aborted && !log.ended.peek()) {
        try {
          const part = await (await fetched(path(id, `log?offset=${log.next}&wait_ms=25000`), stop.signal)).json();
          if (stop.signal.aborted) return;
          log.error.value = null;
          log.next = part.next;
          if (part.text) {
            const fresh = (log.rest + part.text).split('\n');
            log.rest = fresh.pop();
            if (part.ended && log.rest) fresh.push(log.rest);
            const all = [...log.lines.peek(), ...fresh];
            log.dropped += Math.max(0, all.length - KEPT);
            log.lines.value = all.slice(-KEPT);
          }
          log.ended.value = part.ended;
        } catch (error) {
          if (stop.signal.aborted) return;
          log.error.value = error;
          await new Promise((resolve) => setTimeout(resolve, 3000));
        }
      }
    })();
    return () => stop.abort();
  }, [id, live]);
  const lines = log.lines.value;
  useLayoutEffect(() => { if (isEnd && box.current) box.current.scrollTop = 1e9; }, [lines, isRaw]);
  const first = Math.max(0, lines.length - more);
  return html`<${Trouble} error=${log.error.value} />
    <div class="line small spread"><span class="mute">${count(lines.length + log.dropped, 'line')}${log.ended.value ? ', ended' : html`, ${isEnd ? 'following' : 'not following'}`}</span>
      <label><input type="checkbox" checked=${isRaw} onChange=${(e) => raw(e.target.checked)} /> As it was printed</label></div>
    <div class="terminal" ref=${box} tabindex="0" role="log" aria-label="Log" aria-live="off" onScroll=${(e) => atEnd(e.target.scrollTop + e.target.clientHeight > e.target.scrollHeight - 30)}>
      ${first > 0 && html`<button type="button" onClick=${() => { atEnd(false); show(more + DRAWN * 2); }}>Earlier lines (${big(first + log.dropped)})</button>`}
      ${lines.slice(first).map((line, at) => {
        const it = isRaw ? { text: line } : readable(line);
        return html`<div key=${first + at + log.dropped} class=${it.tone}>${it.text || ' '}</div>`;
      })}
      ${!lines.length && html`<div class="mute">${log.ended.value ? 'It printed nothing.' : 'Nothing printed yet.'}</div>`}</div>
    ${!isEnd && !log.ended.value && html`<button type="button" onClick=${() => { atEnd(true); box.current.scrollTop = 1e9; }}>Follow</button>`}`;
}

/** A unified diff, file by file. */
export function parted(diff) {
  const files = [];
  let file = null;
  for (const line of diff.split('\n')) {
    if (line.startsWith('diff --git ') || (!file && line)) {
      file = { name: / b\/(.*)$/.exec(line)?.[1] ?? 'changes', lines: [], plus: 0, minus: 0 };
      files.push(file);
      if (line.startsWith('diff --git ')) continue;
    }
    if (!file || !line) continue;
    if (line.startsWith('+++ b/')) file.name = line.slice(6);
    const isHead = !file.isInside && !line.startsWith('@@');
    if (line.startsWith('@@')) file.isInside = true;
    const kind = isHead ? 'head' : line[0] === '+' ? 'plus' : line[0] === '-' ? 'minus' : line[0] === '@' ? 'hunk' : '';
    if (kind === 'plus') file.plus++;
    if (kind === 'minus') file.minus++;
    if (!isHead || /^(new|deleted|rename|old mode|new mode|Binary)/.test(line)) file.lines.push([kind, line]);
  }
  return files;
}

function Diff({ id, outside }) {
  const [answer, set] = useState({});
  useEffect(() => {
    const stop = new AbortController();
    fetched(path(id, 'diff'), stop.signal).then((it) => it.json()).then((it) => set({ files: parted(it.diff) }), (error) => !stop.signal.aborted && set({ error }));
    return () => stop.abort();
  }, [id]);
  if (answer.error) return html`<${Trouble} error=${answer.error} />`;
  if (!answer.files) return html`<${Empty}>Reading…<//>`;
  if (!answer.files.length) return html`<${Empty}>It changed nothing.<//>`;
  let drawn = 0;
  return answer.files.map((file) => {
    drawn += file.lines.length;
    return html`<${File} key=${file.name} ...${file} isOutside=${outside.includes(file.name)} isOpen=${drawn < 1500} />`;
  });
}
function File({ name, lines, plus, minus, isOutside, isOpen }) {
  const [open, set] = useState(isOpen);
  const [most, more] = useState(1500);
  return html`<details class="file" open=${open} onToggle=${(e) => set(e.target.open)}><summary><code>${name}</code> <span class="good">+${plus}</span> <span class="bad">−${minus}</span>${isOutside && html` <${State} name="failed" text="outside its claim" />`}</summary>
    ${open && html`<div class="diff" tabindex="0" role="group" aria-label="Changes of ${name}"><div>${lines.slice(0, most).map(([kind, line], at) => html`<div key=${at} class=${kind}>${line || ' '}</div>`)}</div></div>
      ${lines.length > most && html`<button type="button" onClick=${() => more(most * 3)}>${count(lines.length - most, 'more line')}</button>`}`}</details>`;
}
