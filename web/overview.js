// Everything at a glance; what needs a person comes first.
import { useEffect, useState } from './preact.js';
import { Answered, Approvals, Do, Empty, Page, Progress, Sign, State, big, control, count, html, money, to, toTask, tone } from './ui.js';
import { events, olderEvents, useAsked } from './store.js';
import { Line } from './events.js';

const isAboutState = (event) => !['attempt.said', 'attempt.tool'].includes(event.kind);
const AT_REST = ['done', 'failed', 'stopped'];

export function Overview() {
  const overview = useAsked('status', { scope: 'overview', limit: 20 }, isAboutState, 15);
  const fleet = useAsked('status', { scope: 'workers', limit: 500, pages: 20 }, isAboutState, 15);
  const places = useAsked('status', { scope: 'environments' }, (event) => event.kind.startsWith('environment.'), 60);
  useEffect(() => { if (events.peek().length < 8) olderEvents().catch(() => {}); }, []);
  return html`<${Page} title="Overview"><${Answered} asked=${overview}>${(it) => html`
    <${Warnings} overview=${it} places=${places.data?.environments ?? []} />
    <${Figures} ...${it} />
    <div class="columns"><div>
      <${Plans} plans=${it.plans} />
      <section aria-labelledby="workers"><h2 id="workers">Workers</h2><${Answered} asked=${fleet}>${({ workers, missed }) => html`<${Workers} workers=${workers} missed=${missed} />`}<//></section>
    </div><section aria-labelledby="news" class="news"><h2 id="news">What happened</h2><${News} /></section></div>`}<//><//>`;
}

/** What somebody must look at, each with the way to it. */
function Warnings({ overview, places }) {
  const found = overview.warnings.map((text) => {
    const plan = overview.plans.find((it) => text.includes(it.plan_id));
    const worker = /control resume (\S+) lets/.exec(text)?.[1];
    const href = plan ? to('plans', plan.plan_id) : text.startsWith('environment ') ? to('environments') : undefined;
    return { text: text.replace(/; control resume .*$/, ''), href, worker };
  });
  // What the warnings say of an environment already is not said twice.
  const isSaid = (beginning) => overview.warnings.some((text) => text.startsWith(beginning));
  for (const plan of overview.plans) if (plan.failed && !AT_REST.includes(plan.state)) found.push({ text: `${plan.name}: ${count(plan.failed, 'task')} failed or blocked`, href: `${to('plans', plan.plan_id)}?state=failed` });
  for (const it of places) {
    const crashed = (it.subs ?? []).filter((sub) => sub.state === 'crashed' && !isSaid(`environment ${it.name}/${sub.name} crashed`));
    if (it.problem && isSaid(`environment ${it.name}: `)) continue;
    if (it.problem) found.push({ text: `environment ${it.name}: ${it.problem}`, href: to('environments') });
    else if (crashed.length) found.push({ text: `environment ${it.name}: ${crashed.map((sub) => sub.name).join(', ')} crashed`, href: to('environments') });
  }
  if (!found.length) return null;
  return html`<section class="needs" aria-labelledby="needs"><h2 id="needs">Needs you</h2><ul>${found.map((it) => html`
    <li><${Sign} name="attention" /><span>${it.text}</span>
      <${Approvals} reason=${it.text} />${it.href && html`<a class="button" href=${it.href}>Look</a>`}
      ${it.worker && html`<${Do} params=${control('resume', it.worker)}>Let it go on<//>`}</li>`)}</ul></section>`;
}

function Figures({ plans, workers, claims, budget }) {
  const sum = (key) => plans.reduce((all, plan) => all + plan[key], 0);
  const spent = budget.reduce((all, it) => all + it.spent_usd, 0);
  const worst = budget.reduce((most, it) => (it.percent ?? -1) > (most?.percent ?? -1) ? it : most, null);
  const figures = [
    ['Plans at work', big(plans.filter((it) => it.state === 'running').length), `${count(sum('running'), 'task')} now`],
    ['Workers busy', big(workers.busy), `${big(workers.idle)} idle${workers.unhealthy ? `, ${big(workers.unhealthy)} unwell` : ''}`, workers.unhealthy],
    ['Claims', big(claims), 'files and folders held'],
    ['Spent this month', money(spent), worst?.percent !== undefined && worst?.percent !== null ? `${worst.provider}: ${worst.percent} % of its limit` : 'no limit set', worst?.percent >= 80],
  ];
  return html`<dl class="figures">${figures.map(([name, value, more, warn]) => html`<div class=${warn ? 'warn' : ''}><dt>${name}</dt><dd><b>${value}</b><span>${more}</span></dd></div>`)}</dl>`;
}

const ORDER = { running: 0, paused: 1, draft: 2, failed: 3, stopped: 4, done: 5 };
function Plans({ plans }) {
  const [more, show] = useState(false);
  const sorted = [...plans].sort((a, b) => (ORDER[a.state] ?? 3) - (ORDER[b.state] ?? 3));
  return html`<section aria-labelledby="plans"><h2 id="plans">Plans</h2>
    ${!plans.length && html`<${Empty}>No plan yet. <code>kapell run plan.json</code> starts one.<//>`}
    <ul class="plans">${sorted.map((plan) => html`<${PlanCard} key=${plan.plan_id} ...${plan} />`)}</ul>
    ${more ? html`<${History} known=${plans} />` : plans.length > 0 && html`<button type="button" onClick=${() => show(true)}>Show all that were started</button>`}</section>`;
}

function PlanCard(plan) {
  return html`<li class="card"><div class="line"><a class="name" href=${to('plans', plan.plan_id)}>${plan.name}</a><${State} name=${plan.state} /></div>
    <${Progress} ...${plan} label=${plan.name} />
    <div class="line small"><span>${big(plan.done)} / ${big(plan.total)} done</span>${plan.running > 0 && html`<span>${big(plan.running)} at work</span>`}${plan.failed > 0 && html`<span class="bad">${big(plan.failed)} failed or blocked</span>`}<code>${plan.plan_id}</code></div></li>`;
}

function History({ known }) {
  const asked = useAsked('status', { scope: 'history', limit: 500, pages: 20 }, (event) => event.kind.startsWith('plan.'), 60);
  return html`<${Answered} asked=${asked}>${({ runs }) => {
    const others = runs.filter((run) => !known.some((it) => it.plan_id === run.plan_id));
    return others.length ? html`<ul class="plans">${others.slice(0, 200).map((run) => html`<${PlanCard} key=${run.plan_id} ...${run} ...${run.progress} />`)}</ul>` : html`<${Empty}>Those above are all.<//>`;
  }}<//>`;
}

/** Workers by group; who is in none stands with its provider. */
function Workers({ workers, missed }) {
  if (!workers.length) return html`<${Empty}>No worker yet. <code>kapell init</code> writes those it finds into kapell.toml.<//>`;
  const groups = new Map();
  for (const worker of workers) for (const name of worker.groups?.length ? worker.groups : [worker.provider]) {
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(worker);
  }
  return html`${missed > 0 && html`<p class="warn">${count(missed, 'task waits', 'tasks wait')} past the deadline.</p>`}
    <div class="groups">${[...groups].map(([name, members]) => html`<div class="card" key=${name}>
      <h3>${name} <small>${members.filter((it) => it.state === 'busy').length} of ${members.length} busy</small></h3>
      <ul>${members.map((it) => html`<li class="worker" key=${it.worker} title=${[it.provider, it.model, it.environment].filter(Boolean).join(', ')}><${State} name=${it.state} text=${it.worker} />
        <span class="sr">${it.state}</span>
        <span class="what">${it.tasks?.length ? it.tasks.slice(0, 3).map((task) => html`<a href=${toTask(task)}>${task.slice(task.indexOf('/') + 1)}</a> `) : html`<small class=${tone(it.state)}>${it.reason ?? (it.protected ? 'protected' : it.state)}</small>`}</span>
        ${it.usd_today > 0 && html`<small>${money(it.usd_today)} today</small>`}
        ${it.until && html`<${Do} params=${control('resume', it.worker)}>Let it go on<//>`}</li>`)}</ul></div>`)}</div>`;
}

function News() {
  const shown = events.value.slice(-14).reverse();
  if (!shown.length) return html`<${Empty}>Nothing yet.<//>`;
  return html`<ul class="log">${shown.map((event) => html`<${Line} key=${event.seq} event=${event} />`)}</ul><p><a href=${to('events')}>All events</a></p>`;
}
