// The event log: live, filtered, as far back as one likes.
import { useEffect, useMemo, useRef, useState } from './preact.js';
import { Ago, Choice, Empty, Page, Rows, Sign, ask, big, clock, html, keep, route, to, toTask } from './ui.js';
import { events, olderEvents } from './store.js';

const KINDS = [['', 'All'], ['plan.', 'Plans'], ['task.', 'Tasks'], ['attempt.', 'Attempts'], ['claim.', 'Claims'], ['landing.', 'Landing'], ['environment.', 'Environments'], ['budget.', 'Money']];
const BAD = /failed|crash|violation|refused|quarantin|gap|reached/;
const WARN = /rejected|limited|alert|paused|nudged|missed|warning|blocked|stuck/;
const GOOD = /→ done|approved|landed|: done|merged/;

/** A sign for what an event means. */
function sign({ kind, text, data }) {
  const what = `${kind} ${data?.to ?? data?.state ?? data?.outcome ?? ''} ${kind === 'attempt.judged' ? text : ''}`;
  return BAD.test(what) ? 'failed' : WARN.test(what) ? 'attention' : GOOD.test(what) || data?.to === 'done' || data?.state === 'done' ? 'done' : kind.endsWith('started') || data?.to === 'running' ? 'running' : 'waiting';
}

/** Where an event leads to. */
export function whither(event) {
  if (event.attempt && !event.kind.startsWith('claim.')) return to('attempts', event.attempt);
  if (event.plan_id && event.task !== undefined) return toTask(`${event.plan_id}/${event.task}`);
  if (event.plan_id) return to('plans', event.plan_id);
  if (event.kind.startsWith('claim.')) return to('claims');
  if (event.kind.startsWith('environment.')) return to('environments');
  if (event.kind.startsWith('budget.')) return to('cost');
  return null;
}

export function Line({ event }) {
  const href = whither(event);
  return html`<li class="event"><${Sign} name=${sign(event)} /><div><span>${href ? html`<a href=${href}>${event.text}</a>` : event.text}</span><small>${event.kind} · <${Ago} at=${event.at} /></small></div></li>`;
}

export function Events() {
  const { query } = route.value;
  const kind = query.get('kind') ?? '';
  const plan = query.get('plan') ?? '';
  const text = (query.get('text') ?? '').toLowerCase();
  const [held, hold] = useState(null);
  const [isAll, all] = useState(false);
  const [reading, read] = useState(false);
  const source = held ?? events.value;
  const older = async () => {
    read(true);
    try { all(!await olderEvents()); } catch { /* told by the connection */ }
    read(false);
  };
  const plans = useMemo(() => [...new Set(source.map((it) => it.plan_id).filter(Boolean))], [source]);
  const shown = useMemo(() => source.filter((it) => it.kind === 'gap' || (it.kind.startsWith(kind) && (!plan || it.plan_id === plan)
    && (!text || `${it.text} ${it.kind} ${it.task ?? ''} ${it.holder ?? ''}`.toLowerCase().includes(text)))).reverse(), [source, kind, plan, text]);
  useEffect(() => { if (!held && !isAll && !reading && shown.length < 40 && source.length < 4000) older(); }, [source, kind, plan, text, reading, isAll]);
  const details = (event) => ask({ title: event.text, wide: true, body: html`<dl class="facts"><dt>Number</dt><dd>${event.seq}</dd><dt>Kind</dt><dd><code>${event.kind}</code></dd><dt>At</dt><dd>${new Date(event.at).toLocaleString()}</dd>
    ${['plan_id', 'task', 'attempt', 'holder'].map((key) => event[key] !== undefined && html`<dt>${key}</dt><dd><code>${event[key]}</code></dd>`)}</dl>
    ${event.data && html`<pre tabindex="0" aria-label="Facts">${JSON.stringify(event.data, null, 2)}</pre>`}
    ${whither(event) && html`<p><a href=${whither(event)} onClick=${(e) => e.target.closest('dialog').close()}>Go there</a></p>`}` });
  return html`<${Page} title="Events" aside=${html`<button type="button" aria-pressed=${!!held} onClick=${() => hold(held ? null : events.peek())}>${held ? `Go on (${big(events.value.filter((it) => it.seq > (held.at(-1)?.seq ?? 0)).length)} new)` : 'Hold still'}</button>`}>
    <form class="filters" role="search" onSubmit=${(e) => e.preventDefault()}>
      <${Choice} label="Kind" value=${kind} options=${KINDS} choose=${(key) => keep({ kind: key })} />
      <label><span class="sr">Plan</span><select value=${plan} onChange=${(e) => keep({ plan: e.target.value })}><option value="">Every plan</option>${plans.map((id) => html`<option value=${id}>${id}</option>`)}</select></label>
      <label class="grow"><span class="sr">Text</span><input type="search" placeholder="Filter by text" value=${query.get('text') ?? ''} onInput=${(e) => keep({ text: e.target.value })} /></label></form>
    <p class="small mute" role="status">${big(shown.length)} of ${big(source.length)} events read so far</p>
    ${shown.length ? html`<${Rows} total=${shown.length} height=${34} label="Events, newest first" row=${(at, style) => {
      const event = shown[at];
      return html`<div role="listitem" class="row event" style=${style} key=${event.seq}><${Sign} name=${sign(event)} /><time dateTime=${event.at}>${clock(event.at)}</time>
        <button type="button" class="plain text" onClick=${() => details(event)}>${event.text}</button><code>${event.kind}</code></div>`;
    }} />` : html`<${Empty}>${reading ? 'Reading…' : 'Nothing of that kind so far.'}<//>`}
    <p>${isAll ? html`<span class="small mute">That is the beginning.</span>` : html`<button type="button" disabled=${reading} onClick=${older}>${reading ? 'Reading…' : 'Read older ones'}</button>`}</p><//>`;
}
