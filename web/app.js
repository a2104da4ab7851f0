// The shell: where one is, whether what is seen is of now, light or dark.
import { html, render, signal, useEffect, useRef, useState, useErrorBoundary } from './preact.js';
import { connect, fetched, forgetToken, isLive, link, newest, now, seen, setToken, skew, takeToken } from './wire.js';
import { Dialogs, Sign, Toasts, big, clock, count, route, span, to } from './ui.js';
import { Overview } from './overview.js';
import { PlanPage } from './plan.js';
import { AttemptPage } from './attempt.js';
import { Claims } from './claims.js';
import { Environments } from './environments.js';
import { Cost } from './cost.js';
import { Events } from './events.js';

const VIEWS = {
  '': [Overview, 'Overview', 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z'],
  claims: [Claims, 'Claims', 'M4 5h6M7 5v14h5M7 12h5M14 10h6v4h-6zM14 17h6v4h-6z'],
  environments: [Environments, 'Environments', 'M4 5h16v6H4zM4 14h16v6H4zM8 8v.1M8 17v.1'],
  cost: [Cost, 'Cost', 'M4 20V4M4 20h16M8 16v-4M12 16V8M16 16v-6'],
  events: [Events, 'Events', 'M5 6h.1M9 6h11M5 12h.1M9 12h11M5 18h.1M9 18h11'],
};
const BELOW = { plans: [PlanPage, ''], attempts: [AttemptPage, ''] };

const THEMES = { auto: ['as the system', 'M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16'], light: ['light', 'M12 8a4 4 0 1 0 0 8 4 4 0 1 0 0-8M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.400 1.400M17.600 17.600L19 19M5 19l1.400-1.400M17.600 6.400L19 5'], dark: ['dark', 'M19 14A8 8 0 1 1 10 5a6.500 6.500 0 0 0 9 9z'] };
const theme = signal(localStorage.getItem('kapell.theme') ?? 'auto');
theme.subscribe((name) => {
  document.documentElement.dataset.theme = name;
  localStorage.setItem('kapell.theme', name);
});

const Icon = ({ path }) => html`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true"><path d=${path} /></svg>`;

/** Whether what is seen is of now; and if not, since when, and what is done about it. */
function Behind() {
  const { state, since, retry } = link.value;
  const missing = newest.value - seen.value;
  const lag = useRef(0);
  if (missing <= 0) lag.current = 0;
  else lag.current ||= Date.now();
  if (state === 'live') {
    if (missing > 0 && now.value - lag.current > 2000) return html`<div class="banner warn" role="status"><${Sign} name="attention" /><span>Behind: newer events have not arrived yet. They are asked for again.</span></div>`;
    if (Math.abs(skew.value) > 60000) return html`<div class="banner" role="status"><${Sign} name="attention" /><span>This device's clock is ${span(Math.abs(skew.value))} ${skew.value > 0 ? 'behind' : 'ahead of'} the server's. Ages are reckoned by the server's.</span></div>`;
    return null;
  }
  if (now.value - since < 1500 && state === 'opening') return null;
  const left = retry ? Math.max(0, Math.ceil((retry - now.value) / 1000)) : 0;
  return html`<div class="banner bad" role="status"><${Sign} name="failed" /><span><b>${state === 'silent' ? 'The server does not answer.' : state === 'opening' ? 'Connecting.' : 'Not connected.'}</b> What you see is of ${clock(since)}, ${span(now.value - since)} ago. <span aria-hidden="true">${left ? `Trying again in ${left} s.` : 'Trying…'}</span></span>
    <button type="button" onClick=${connect}>Try now</button></div>`;
}

/** Which project this is, and the way to it in the title of the page. */
const project = signal('');
async function named() {
  const { current, projects } = await (await fetched('/api/projects')).json();
  project.value = projects.find((it) => it.id === current)?.folder.split('/').filter(Boolean).at(-1) ?? '';
}
isLive.subscribe((is) => { if (is && !project.peek()) named().catch(() => {}); });

function Link() {
  const { state } = link.value;
  const words = { live: 'live', opening: 'connecting', silent: 'no answer', down: 'not connected' }[state] ?? state;
  return html`<span class="link ${state}" title=${state === 'live' ? `newest event: ${seen.value}` : ''}><i aria-hidden="true" />${words}</span>`;
}

function Theme() {
  const names = Object.keys(THEMES);
  const [words, path] = THEMES[theme.value];
  const next = names[(names.indexOf(theme.value) + 1) % 3];
  return html`<button type="button" class="plain theme" title="Colours: ${words}" aria-label="Colours: ${words}. Change to ${THEMES[next][0]}" onClick=${() => { theme.value = next; }}><${Icon} path=${path} /></button>`;
}

/** Without a token, or with a wrong one: how to get it. */
function Door({ denied }) {
  const [text, type] = useState('');
  useEffect(() => { document.title = 'Kapell'; }, []);
  return html`<main class="door"><h1>${denied ? 'This token is not the server’s' : 'A token is needed'}</h1>
    <p>${denied ? 'It may be of another server, or of one that was started with another token file.' : 'This board shows and steers everything of this project, so it opens only with the token of its server.'}</p>
    <p>In the project’s folder, <code>kapell serve</code> prints an address that has it: open that. It also says in which file the token lies, if you would rather paste it here.</p>
    <form onSubmit=${(e) => { e.preventDefault(); if (text.trim()) setToken(text); }}>
      <label>Token, or the whole address <input type="password" value=${text} onInput=${(e) => type(e.target.value)} autocomplete="off" autofocus /></label>
      <button class="primary" disabled=${!text.trim()}>Open the board</button></form></main>`;
}

/** What a view cannot draw is told, and the rest goes on. */
function Guard({ children }) {
  const [error, reset] = useErrorBoundary();
  if (!error) return children;
  return html`<div class="trouble" role="alert"><${Sign} name="failed" /><div><b>This view could not be drawn: ${String(error.message ?? error)}</b><br /><button type="button" onClick=${reset}>Draw it again</button></div></div>`;
}

function Board() {
  const { parts } = route.value;
  const [first = ''] = parts;
  const [View, here] = BELOW[first] ?? (VIEWS[first] ? [VIEWS[first][0], first] : [Missing, '']);
  const main = useRef();
  const place = `${first}/${parts[1] ?? ''}`;
  const before = useRef(place);
  useEffect(() => {
    if (before.current === place) return;
    before.current = place;
    scrollTo(0, 0);
    main.current.querySelector('h1')?.focus();
  }, [place]);
  if (link.value.state === 'none' || link.value.state === 'denied') return html`<${Door} denied=${link.value.state === 'denied'} />`;
  return html`
    <a class="skip" href="#main" onClick=${(e) => { e.preventDefault(); main.current.querySelector('h1')?.focus(); }}>Skip to the content</a>
    <header class="bar"><a class="brand" href="#/" aria-label="Kapell"><svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" /><path d="M9 7v18M9 17l6-5 8-5M14.500 13l8.500 12" /></svg><b>kapell</b></a>${project.value && html`<span class="project">${project.value}</span>`}
      <${Link} /><${Theme} /><button type="button" class="plain leave" onClick=${forgetToken} title="Forget the token of this tab">Sign out</button></header>
    <nav aria-label="Views">${Object.entries(VIEWS).map(([key, [, name, path]]) => html`
      <a href=${to(...(key ? [key] : []))} aria-current=${here === key ? (parts.length > 1 ? 'true' : 'page') : undefined}><${Icon} path=${path} /><span>${name}</span></a>`)}</nav>
    <main id="main" ref=${main} class="view-${first || 'overview'}"><${Behind} /><${Guard} key=${place}><${View} parts=${parts.slice(1)} /><//></main>
    <${Dialogs} /><${Toasts} />`;
}

function Missing() {
  return html`<header class="top"><h1 tabindex="-1">There is nothing here</h1></header><p><a href="#/">To the overview</a></p>`;
}

const app = document.getElementById('app');
app.replaceChildren();
takeToken();
render(html`<${Board} />`, app);
addEventListener('hashchange', () => { if (location.hash.startsWith('#token=')) { takeToken(); connect(); } });
connect();
