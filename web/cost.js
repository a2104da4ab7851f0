// Money: this month, whose it is, against its limits, and what the month will come to.
import { Answered, Choice, Empty, Page, State, Ago, big, count, html, keep, money, route } from './ui.js';
import { useAsked } from './store.js';

const SUMS = [['provider', 'Providers'], ['worker', 'Workers'], ['plan', 'Plans'], ['task', 'Tasks'], ['month', 'Months']];
const touched = (event) => ['attempt.finished', 'attempt.started', 'budget.alert', 'budget.reached', 'provider.limited'].includes(event.kind);

export function Cost() {
  const by = route.value.query.get('by') ?? 'provider';
  const sums = useAsked('status', { scope: 'cost', by, limit: 200 }, touched, 30);
  const days = useAsked('status', { scope: 'cost', by: 'day', limit: 31 }, touched, 30);
  const budget = useAsked('status', { scope: 'budget', limit: 200 }, touched, 30);
  return html`<${Page} title="Cost"><${Answered} asked=${sums}>${(it) => html`
    <${Figures} forecast=${it.forecast} days=${days.data?.cost ?? []} budget=${budget.data?.budget ?? []} total=${it.total} />
    <section aria-labelledby="month"><h2 id="month">This month, day by day</h2>${days.data && html`<${Month} days=${days.data.cost} forecast=${it.forecast} limit=${limitOf(budget.data?.budget ?? [])} />`}</section>
    <div class="columns"><section aria-labelledby="sums"><div class="line spread"><h2 id="sums">By ${SUMS.find(([key]) => key === by)?.[0]}</h2><${Choice} label="Sums of" value=${by} options=${SUMS} choose=${(key) => keep({ by: key })} /></div><${Sums} lines=${it.cost} /></section>
    <section aria-labelledby="limits"><h2 id="limits">Limits</h2><${Answered} asked=${budget}>${({ budget }) => html`<${Limits} budget=${budget} />`}<//>
      ${it.savings.length > 0 && html`<h2>The same tokens with one provider alone</h2><ul class="plain-list">${it.savings.map((saving) => html`<li class="line spread small"><span>${saving.provider}${saving.model ? ` (${saving.model})` : ''}</span><span>${money(saving.would_usd)} <small class="mute">${saving.saved_usd >= 0 ? `${money(saving.saved_usd)} saved` : `${money(-saving.saved_usd)} less`}</small></span></li>`)}</ul><p class="small mute">Prices of ${it.prices_as_of}.</p>`}</section></div>`}<//><//>`;
}

/** What all providers together may spend, where each has a limit. */
const limitOf = (budget) => budget.length && budget.every((it) => it.limit_usd !== null && it.limit_usd !== undefined) ? budget.reduce((sum, it) => sum + it.limit_usd, 0) : null;

function Figures({ forecast, days, budget, total }) {
  const today = new Date().toISOString().slice(0, 10);
  const limit = limitOf(budget);
  return html`<dl class="figures"><div><dt>This month</dt><dd><b>${money(forecast.spent_usd)}</b><span>${limit === null ? count(total.attempts, 'try', 'tries') : `of ${money(limit)}`}</span></dd></div>
    <div><dt>Today</dt><dd><b>${money(days.find((it) => it.name === today)?.usd ?? 0)}</b><span>${money(forecast.per_day_usd)} a day lately</span></dd></div>
    <div class=${limit !== null && forecast.total_usd > limit ? 'warn' : ''}><dt>Forecast</dt><dd><b>${money(forecast.total_usd)}</b><span>${limit !== null && forecast.total_usd > limit ? 'beyond the limit' : count(forecast.days_left, 'day is left', 'days are left')}</span></dd></div>
    <div><dt>Tokens</dt><dd><b>${big(total.input_tokens + total.output_tokens)}</b><span>${big(total.cached_tokens)} more from caches${total.untold ? `; ${count(total.untold, 'try', 'tries')} told none` : ''}</span></dd></div></dl>`;
}

/** The month: each day, the sum so far, how it may go on, and the limit. */
function Month({ days, forecast, limit }) {
  if (!days.length) return html`<${Empty}>Nothing was spent yet.<//>`;
  const nowDay = new Date();
  const year = nowDay.getUTCFullYear(), month = nowDay.getUTCMonth(), today = nowDay.getUTCDate();
  const length = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const spent = new Map(days.map((it) => [Number(it.name.slice(8)), it.usd]));
  const most = Math.max(...spent.values()) || 1;
  const top = Math.max(forecast.total_usd, forecast.spent_usd, limit !== null && limit < forecast.total_usd * 8 ? limit : 0) * 1.08 || 1;
  const W = innerWidth < 760 ? 380 : 760, H = 210, L = 46, B = 24, R = 10, step = (W - L - R) / length;
  const y = (usd) => H - B - (usd / top) * (H - B - 12);
  const bar = (usd) => (usd / (most * 1.6)) * (H - B - 12);
  let sum = 0;
  const line = [];
  for (let day = 1; day <= today; day++) line.push(`${line.length ? 'L' : 'M'}${L + step * (day - 0.5)} ${y(sum += spent.get(day) ?? 0)}`);
  const words = `${money(forecast.spent_usd)} spent until day ${today} of ${length}; ${money(forecast.total_usd)} expected${limit === null ? '' : `; the limit is ${money(limit)}`}. ${forecast.how}.`;
  return html`<figure class="month"><svg viewBox="0 0 ${W} ${H}" role="img" aria-label=${words}>
    ${[0, 0.5, 1].map((part) => html`<g><path class="grid" d="M${L} ${y((top / 1.08) * part)}H${W - R}" /><text x=${L - 6} y=${y((top / 1.08) * part) + 4} text-anchor="end">${money((top / 1.08) * part)}</text></g>`)}
    ${[...spent].map(([day, usd]) => html`<rect class="day" x=${L + step * (day - 1) + step * 0.18} y=${H - B - bar(usd)} width=${step * 0.64} height=${bar(usd)} rx="1.500"><title>${`day ${day}: ${money(usd)}`}</title></rect>`)}
    ${limit !== null && html`<g class="limit"><path d="M${L} ${y(Math.min(limit, top))}H${W - R}" /><text x=${W - R - 4} y=${y(Math.min(limit, top)) + 13} text-anchor="end">${limit > top ? `limit ${money(limit)}, far above` : `limit ${money(limit)}`}</text></g>`}
    <path class="sum" d=${line.join('')} /><path class="guess" d="M${L + step * (today - 0.5)} ${y(sum)}L${L + step * (length - 0.5)} ${y(forecast.total_usd)}" />
    ${[1, 5, 10, 15, 20, 25, length].map((day) => html`<text x=${L + step * (day - 0.5)} y=${H - 7} text-anchor="middle">${day}</text>`)}</svg>
    <figcaption class="small mute">Bars: the days, on a scale of their own. Line: the sum so far. Dashes: the forecast (${forecast.how}).${limit === null ? '' : ' Across: what all providers together may spend.'}</figcaption></figure>`;
}

function Sums({ lines }) {
  if (!lines.length) return html`<${Empty}>Nothing was spent yet.<//>`;
  const most = Math.max(...lines.map((it) => it.usd)) || 1;
  return html`<div class="scroll" tabindex="0" role="group" aria-label="Sums"><table><thead><tr><th scope="col">Of</th><th scope="col" class="n">Spent</th><th scope="col" class="wide"><span class="sr">Share</span></th><th scope="col" class="n">Tries</th><th scope="col" class="n">Tokens</th></tr></thead><tbody>${lines.map((it) => html`<tr key=${it.name}><th scope="row">${it.name}</th><td class="n">${money(it.usd)}${it.reserved_usd > 0 && html`<br /><small class="mute">+ ${money(it.reserved_usd)} set aside</small>`}</td>
    <td class="wide"><div class="progress" aria-hidden="true"><i class="info" style=${{ width: `${(100 * it.usd) / most}%` }} /></div></td><td class="n">${big(it.attempts)}</td><td class="n">${big(it.input_tokens + it.output_tokens)}</td></tr>`)}</tbody></table></div>`;
}

function Limits({ budget }) {
  const limited = budget.filter((it) => it.percent !== undefined || it.state !== 'ok');
  if (!limited.length) return html`<${Empty}>None is set. <code>budget</code> of a provider in kapell.toml sets one.<//>`;
  return html`<ul class="plain-list">${limited.map((it) => html`<li class="card" key=${it.provider}><div class="line spread"><b>${it.provider}</b><${State} name=${it.state} /></div>
    <div class="progress" role="img" aria-label="${it.provider}: ${it.percent ?? 0} % of the limit"><i class=${it.state === 'ok' ? 'good' : 'warn'} style=${{ width: `${Math.min(100, it.percent ?? 0)}%` }} /></div>
    <p class="small">${it.limit_usd !== null && it.limit_usd !== undefined ? `${money(it.spent_usd)} of ${money(it.limit_usd)} this month. ` : ''}${it.day_limit_usd ? `${money(it.today_usd)} of ${money(it.day_limit_usd)} today. ` : ''}${it.day_limit_tokens ? `${big(it.today_tokens ?? 0)} of ${big(it.day_limit_tokens)} tokens today. ` : ''}${it.reserved_usd ? `${money(it.reserved_usd)} set aside. ` : ''}${it.reason ?? ''}${it.until ? html` until <${Ago} at=${it.until} />` : ''}</p></li>`)}</ul>`;
}
