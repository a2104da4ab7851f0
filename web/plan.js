// A plan: its graph or its list, and beside it the task that was chosen.
import { useEffect, useMemo, useState } from './preact.js';
import { Ago, Answered, Approvals, Choice, Do, Empty, Page, Progress, Rows, Sign, State, Trouble, big, control, count, html, keep, money, route, to, toTask } from './ui.js';
import { useAsked, usePlan } from './store.js';
import { Graph } from './graph.js';

/** More tasks than this are drawn small. */
const DENSE = 150;
const ORDER = ['running', 'judging', 'landing', 'approved', 'rejected', 'failed', 'blocked', 'ready', 'waiting', 'done', 'cancelled'];
const OPEN = ['running', 'judging', 'rejected', 'approved', 'landing'];

export function PlanPage({ parts: [id, ...rest] }) {
  const plan = usePlan(id ?? '');
  const chosen = rest.length ? rest.join('/') : null;
  const head = plan.head.value;
  const version = plan.version.value;
  const { query } = route.value;
  const [isNarrow] = useState(() => innerWidth < 700);
  const look = query.get('look') ?? (isNarrow ? 'list' : 'graph');
  const dense = query.get('size') ?? (plan.tasks.length > DENSE ? 'dense' : 'cards');
  const state = query.get('state') ?? '';
  const text = (query.get('text') ?? '').toLowerCase();
  const counts = useMemo(() => {
    const found = {};
    for (const task of plan.tasks) found[task.state] = (found[task.state] ?? 0) + 1;
    return found;
  }, [plan, version]);
  const matches = useMemo(() => (state || text) && ((task) => (!state || task.state === state || (state === 'failed' && task.state === 'blocked'))
    && (!text || `${task.id} ${task.task} ${task.worker ?? ''} ${task.reason ?? ''}`.toLowerCase().includes(text))), [state, text]);
  const claims = useAsked('status', { scope: 'claims', limit: 500, pages: 20 }, (event) => event.kind.startsWith('claim.'), 30);
  const held = useMemo(() => {
    const found = new Map();
    for (const it of claims.data?.claims ?? []) if (it.task?.startsWith(`${id}/`)) {
      const task = it.task.slice(id.length + 1);
      found.set(task, [...(found.get(task) ?? []), it.pattern]);
    }
    return found;
  }, [claims.data, id]);
  const place = chosen === null ? -1 : plan.places.get(chosen) ?? -1;
  const shown = useMemo(() => matches ? plan.tasks.filter(matches) : plan.tasks, [plan, version, matches]);

  if (!head) return html`<${Page} title="Plan"><${Trouble} error=${plan.error.value} />${plan.error.value ? html`<p><a href="#/">To the overview</a></p>` : html`<${Empty}>Reading…<//>`}<//>`;
  return html`<${Page} title=${head.name} aside=${html`<${State} name=${head.state} /><${PlanActions} ...${head} />`}>
    <${Trouble} error=${plan.error.value} />
    ${head.reason && html`<p class="reason"><${Sign} name=${head.state} />${head.reason}</p>`}
    <${Progress} ...${head} label=${head.name} />
    <p class="line small mute"><span>${big(head.done)} / ${big(head.total)} done</span><span>${big(head.running)} at work</span>${head.failed > 0 && html`<span class="bad">${big(head.failed)} failed or blocked</span>`}<span>${money(head.usd)}</span>
      ${head.target && html`<span>onto <code>${head.target.replace('refs/heads/', '')}</code></span>`}${head.position && html`<span>place ${head.position} in the queue</span>`}${head.conductor ? html`<span>conductor <code>${head.conductor.id}</code>, process ${head.conductor.pid}</span>` : html`<span>no conductor</span>`}
      <a href="${to('events')}?plan=${encodeURIComponent(head.plan_id)}">Its events</a></p>
    <form class="filters" role="search" onSubmit=${(e) => e.preventDefault()}>
      <${Choice} label="Shown as" value=${look} options=${[['graph', 'Graph'], ['list', 'List']]} choose=${(key) => keep({ look: key })} />
      ${look === 'graph' && html`<${Choice} label="Size" value=${dense} options=${[['cards', 'Cards'], ['dense', 'Small']]} choose=${(key) => keep({ size: key })} />`}
      <label><span class="sr">State</span><select value=${state} onChange=${(e) => keep({ state: e.target.value })}><option value="">All ${big(plan.tasks.length)} tasks</option>${ORDER.filter((it) => counts[it] || it === state).map((it) => html`<option value=${it}>${it} (${big(counts[it] ?? 0)})</option>`)}</select></label>
      <label class="grow"><span class="sr">Text</span><input type="search" placeholder="Filter by text, worker, reason" value=${query.get('text') ?? ''} onInput=${(e) => keep({ text: e.target.value })} /></label>
      ${matches && html`<span class="small mute" role="status">${count(shown.length, 'task')}</span>`}</form>
    ${!plan.isWhole.value && html`<p class="small mute" aria-busy="true">Reading ${big(plan.tasks.length)} of ${big(head.total)} tasks…</p>`}
    <div class="split ${chosen !== null ? 'open' : ''}">
      <div class="first">${!plan.tasks.length ? html`<${Empty}>It has no tasks yet.<//>` : look === 'graph'
        ? html`<${Graph} plan=${plan} chosen=${place} matches=${matches} held=${held} isDense=${dense === 'dense'} />`
        : html`<${List} plan=${plan} tasks=${shown} chosen=${chosen} />`}</div>
      ${chosen !== null && html`<${TaskPanel} key=${chosen} plan=${id} task=${chosen} held=${held.get(chosen)} />`}</div><//>`;
}

function PlanActions({ plan_id: id, name, state, reason, conductor, done }) {
  const stop = { title: `Stop ${name}?`, text: 'Its workers end. What they did so far is kept under refs, and the plan can be started again.', yes: 'Stop it' };
  const start = (words) => html`<${Do} method="dispatch" params=${{ plan_id: id }} words="it runs" class="primary">${words}<//>`;
  const land = { title: `Land ${name}?`, text: 'What was proved is brought to the target branch; your checkout moves only if it is clean.', yes: 'Land it', danger: false };
  return html`<div class="actions">
    ${state === 'draft' && start('Start')}
    ${['running', 'paused'].includes(state) && !conductor && start('Take up again')}
    ${['failed', 'stopped'].includes(state) && start('Start again')}
    <${Approvals} reason=${reason} />
    ${state === 'running' && html`<${Do} params=${control('pause', id)}>Pause<//>`}
    ${state === 'paused' && html`<${Do} params=${control('resume', id)} class="primary">Resume<//>`}
    ${done > 0 && html`<${Do} params=${control('land', id)} asks=${land}>Land…<//>`}
    ${['running', 'paused'].includes(state) && html`<${Do} params=${control('stop', id)} asks=${stop} class="danger">Stop…<//>`}</div>`;
}

function List({ plan, tasks, chosen }) {
  return tasks.length ? html`<${Rows} total=${tasks.length} height=${52} label="Tasks" reach=${chosen === null ? undefined : tasks.findIndex((it) => String(it.id) === chosen)} row=${(at, style) => {
    const task = tasks[at];
    return html`<div role="listitem" key=${task.id} style=${style} class="row task ${String(task.id) === chosen ? 'chosen' : ''}"><${State} name=${task.state} />
      <a href=${toTask(`${plan.id}/${task.id}`)}><b>${task.id}</b> ${task.task}</a><small>${[task.worker, task.attempts > 1 && `try ${task.attempts}`, task.reason].filter(Boolean).join(' · ')}</small></div>`;
  }} />` : html`<${Empty}>No task is like that.<//>`;
}

/** A task with its claims and its tries. */
function TaskPanel({ plan, task, held }) {
  const id = `${plan}/${task}`;
  const asked = useAsked('status', { scope: 'task', id }, (event) => event.plan_id === plan && String(event.task) === task && event.kind !== 'attempt.said', 10);
  useEffect(() => { if (innerWidth < 1100) document.getElementById('task')?.scrollIntoView({ block: 'start' }); }, []);
  const back = to('plans', plan) + (location.hash.includes('?') ? `?${location.hash.split('?')[1]}` : '');
  return html`<aside class="panel" id="task" aria-label="Task ${task}"><a class="button plain close" href=${back} aria-label="Close the task">×</a>
    <${Answered} asked=${asked}>${(it) => html`
      <h2><span class="mute">Task</span> ${task} <${State} name=${it.state} /></h2>
      <p class="said">${it.task}</p>
      ${it.reason && html`<p class="reason"><${Sign} name=${it.state} />${it.reason}</p>`}
      <${TaskActions} id=${id} state=${it.state} attempts=${it.attempts} />
      <dl class="facts"><dt>Owns</dt><dd>${it.files.map((file) => html`<code>${file}</code> `)}</dd>
        ${held && html`<dt>Claims now</dt><dd>${held.map((file) => html`<code class="held">${file}</code> `)}</dd>`}
        ${it.depends_on.length > 0 && html`<dt>After</dt><dd>${it.depends_on.map((dep) => html`<a href=${toTask(`${plan}/${dep}`)}>${dep}</a> `)}</dd>`}
        ${it.commit && html`<dt>Landed as</dt><dd><code>${it.commit.slice(0, 12)}</code></dd>`}</dl>
      <h3>Tries</h3>
      ${it.attempts.length ? html`<ol class="tries">${[...it.attempts].reverse().map((attempt) => html`<li key=${attempt.attempt}><a class="card" href=${to('attempts', attempt.attempt)}>
        <span class="line"><b>${attempt.number}</b><span>${attempt.worker}</span><${State} name=${attempt.verdict === 'rejected' ? 'failed' : attempt.outcome ?? attempt.state} text=${attempt.verdict ?? attempt.outcome ?? attempt.state} /></span>
        <span class="line small mute"><${Ago} at=${attempt.started_at} /><span>${money(attempt.usage.usd)}</span>${attempt.gates.filter((gate) => gate.outcome !== 'skipped').map((gate) => html`<span class=${gate.outcome === 'pass' ? 'good' : 'bad'}>${gate.name} ${gate.outcome}</span>`)}</span></a></li>`)}</ol>` : html`<${Empty}>None yet.<//>`}`}<//></aside>`;
}

export function TaskActions({ id, state, attempts = [] }) {
  const name = `task ${id.slice(id.indexOf('/') + 1)}`;
  const asks = {
    cancel: { title: `Cancel ${name}?`, text: 'What is at work on it ends, its work is kept under a ref, and what depends on it stays blocked.', yes: 'Cancel it' },
    restart: { title: `Begin ${name} again?`, text: 'The try that is at work ends; its work is kept under a ref.', yes: 'Begin again' },
    approve: { title: `Accept ${name} as it is?`, text: 'The judge refused it. What you accept lands as it was left, within its claim.', yes: 'Accept it' },
    nudge: { title: `Tell the worker of ${name} something`, danger: false, yes: 'Tell it', field: { name: 'message', label: 'What', needed: true } },
  };
  const isOpen = OPEN.includes(state);
  return html`<div class="actions">
    ${['failed', 'blocked', 'cancelled', 'rejected'].includes(state) && html`<${Do} params=${control('retry', id)} class="primary">Try again<//>`}
    ${['failed', 'rejected'].includes(state) && attempts.length > 0 && html`<${Do} params=${control('approve', id)} asks=${asks.approve}>Accept…<//>`}
    ${state === 'running' && html`<${Do} params=${control('nudge', id)} asks=${asks.nudge}>Tell it…<//>`}
    ${state === 'running' && html`<${Do} params=${control('restart', id)} asks=${asks.restart} class="danger">Begin again…<//>`}
    ${!['done', 'cancelled', 'landing'].includes(state) && html`<${Do} params=${control('cancel', id)} asks=${asks.cancel} class="danger">Cancel…<//>`}</div>`;
}
