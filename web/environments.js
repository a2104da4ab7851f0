// Places to run what is built, each with its services, and what can be done with them.
import { useState } from './preact.js';
import { parted } from './attempt.js';
import { Ago, Answered, Do, Empty, Page, Sign, State, ask, count, html, perform, size, tell } from './ui.js';
import { act } from './wire.js';
import { refresh, useAsked } from './store.js';

const touched = (event) => event.kind.startsWith('environment.') || event.kind === 'landing.merged';

export function Environments() {
  const asked = useAsked('status', { scope: 'environments' }, touched, 20);
  const create = { title: 'Make environments', text: 'Checkouts beside the project, each with services, ports and databases of its own.', danger: false, yes: 'Make them', field: { name: 'count', label: 'How many there are to be', value: '2', needed: true } };
  const make = async () => {
    const answer = await ask(create);
    if (answer === null) return;
    const count = Number(answer);
    if (!(count >= 1 && count <= 100)) return tell('Say a number from 1 to 100.', 'bad');
    await perform('environments', { action: 'create', count }, 'made');
  };
  const all = asked.data?.environments ?? [];
  return html`<${Page} title="Environments" aside=${html`<div class="actions"><button type="button" onClick=${make}>Make…</button>${all.length > 0 && html`<${Do} method="environments" params=${{ action: 'launch' }} words="launched">Launch all<//>
      <${Do} method="environments" params=${{ action: 'stop' }} words="stopped" asks=${{ title: 'Stop every service?', text: 'Each gets its grace, then its whole process tree ends.', yes: 'Stop them' }} class="danger">Stop all…<//>`}</div>`}>
    <${Answered} asked=${asked}>${() => all.length ? html`<div class="places">${all.map((it) => html`<${Place} key=${it.name} ...${it} />`)}</div>` : html`<${Empty}>None yet. <code>kapell env create</code>, or “Make…”, makes those that kapell.toml names.<//>`}<//><//>`;
}

const show = (title, body) => ask({ title, wide: true, body });
const printed = (text, label) => html`<pre tabindex="0" aria-label=${label}>${text}</pre>`;

/** What was asked of git, or a log, as it came. */
function Outcome({ answer }) {
  const git = answer.git?.[0];
  if (!git) return html`<p>${answer.message}</p>`;
  return html`<p>${git.message}</p>
    ${git.files?.length > 0 && html`<ul>${git.files.map((file) => html`<li><code>${file.path}</code> <span class=${file.state === 'conflict' ? 'bad' : 'mute'}>${file.state}</span></li>`)}</ul>`}
    ${git.commits?.length > 0 && html`<ol class="commits">${git.commits.map((it) => html`<li><code>${it.commit.slice(0, 9)}</code> ${it.subject} <small class="mute">${it.author}, <${Ago} at=${it.at} /></small></li>`)}</ol>`}
    ${git.diff && parted(git.diff).map((file) => html`<h3><code>${file.name}</code></h3><div class="diff" tabindex="0" role="group" aria-label="Changes of ${file.name}"><div>${file.lines.slice(0, 1500).map(([kind, line]) => html`<div class=${kind}>${line || ' '}</div>`)}</div></div>`)}
    ${git.kept && html`<p class="small mute">What was there before is kept under <code>${git.kept}</code>.</p>`}`;
}

/** Closes a menu; the focus goes to what opened it, and comes back there after a question. */
function shut(event) {
  const menu = event.currentTarget.closest('details');
  menu.open = false;
  menu.querySelector('summary').focus();
}

function Place(it) {
  const { name, subs = [] } = it;
  const [busy, set] = useState('');
  const does = (action, more) => ({ method: 'environments', params: { action, name, ...more } });
  const isRunning = subs.some((sub) => sub.state === 'running');
  const hasCrashed = subs.some((sub) => sub.state === 'crashed');
  const [state, says] = hasCrashed ? ['crashed', 'crashed'] : isRunning ? ['running', 'services run'] : ['idle', 'at rest'];
  const git = async (verb, args) => {
    set(verb);
    const answer = await perform('environments', { action: 'git', name, git: { verb, ...(args && { args }) } }, args ? '' : null);
    set('');
    if (answer) show(`git ${verb} in ${name}`, html`<${Outcome} answer=${answer} />`);
  };
  const health = async () => {
    set('health');
    const answer = await perform('environments', { action: 'health', name }, null);
    set('');
    const found = answer?.environments?.[0];
    if (found) show(`How ${name} is`, html`<p><${State} name=${found.verdict ?? 'ok'} /> ${found.reason ?? 'All is well.'}</p><ul>${(found.subs ?? []).map((sub) => html`<li><b>${sub.name}</b> ${sub.state}${sub.health ? `, ${sub.health}` : ''}${sub.integrity ? `; database ${sub.integrity}` : ''}</li>`)}</ul>`);
  };
  // First without force: what would be lost is what the refusal lists. Then only with the name typed.
  const grave = async (action, yes, text, items) => {
    if (await ask({ title: `${yes} ${name}?`, text, items, yes: `${yes} it` }) === null) return;
    let refused;
    try {
      const answer = await act('environments', { action, name });
      refused = answer.failed?.[0];
      if (!refused) tell(answer.message ?? 'done');
    } catch (error) {
      refused = error;
    }
    refresh();
    if (!refused) return;
    const sure = await ask({ title: `${name} was left as it is`, text: refused.message, items: refused.hint ? [refused.hint] : [], yes: `${yes} it all the same`, word: name });
    if (sure !== null) await perform('environments', { action, name, force: true });
  };
  const lost = [it.dirty && 'it has changes that are not committed', it.ahead > 0 && `${count(it.ahead, 'commit')} that the main branch does not have`, isRunning && 'services of it run'].filter(Boolean);
  return html`<section class="card place" aria-labelledby="env-${name}"><div class="line spread"><h2 id="env-${name}">${name}</h2>${it.verdict && html`<${State} name=${it.verdict} />`}<${State} name=${it.state === 'ready' ? state : it.state || 'missing'} text=${it.state === 'ready' ? says : it.state} /></div>
    <p class="line small"><code>${it.branch ?? 'no branch'}</code>${it.ahead > 0 && html`<span title="commits that the main branch does not have">↑ ${it.ahead} ahead</span>`}${it.behind > 0 && html`<span class="warn">↓ ${it.behind} behind</span>`}${it.dirty && html`<span class="warn">not committed</span>`}${it.worker && html`<span>worker ${it.worker}</span>`}</p>
    ${(it.problem || it.reason) && html`<p class="reason"><${Sign} name="attention" />${it.problem ?? it.reason}</p>`}
    ${it.hint && !it.reason && html`<p class="reason"><${Sign} name="attention" />${it.hint}</p>`}
    <ul class="subs">${subs.map((sub) => html`<${Sub} key=${sub.name} env=${name} ...${sub} />`)}</ul>
    <div class="actions" aria-busy=${!!busy}>
      <${Do} ...${does('launch')} words="launched" class=${isRunning ? '' : 'primary'}>Launch<//>
      ${isRunning && html`<${Do} ...${does('stop')} words="stopped" asks=${{ title: `Stop the services of ${name}?`, text: 'Each gets its grace, then its whole process tree ends.', yes: 'Stop them' }}>Stop…<//>`}
      <${Do} ...${does('sync')} words="follows the main branch">Sync<//>
      <${Do} ...${does('backup')} words="backed up">Back up<//>
      <button type="button" disabled=${!!busy} onClick=${health}>Check</button>
      <details class="more" onKeyDown=${(e) => e.key === 'Escape' && shut(e)}><summary class="button">More</summary><div class="menu" onClickCapture=${shut}>
        <button type="button" onClick=${() => git('status')}>Git status</button><button type="button" onClick=${() => git('log')}>Git log</button><button type="button" onClick=${() => git('diff')}>Git diff</button>
        <button type="button" onClick=${async () => { const said = await ask({ title: `Commit all of ${name}`, danger: false, yes: 'Commit', field: { label: 'Message', needed: true } }); if (said) git('commit', [said]); }}>Commit…</button>
        <button type="button" onClick=${() => git('push')}>Push</button>
        <${Do} ...${does('restart')} words="restarted" asks=${{ title: `Restart the services of ${name}?`, text: 'They are away for a moment.', yes: 'Restart' }}>Restart…<//>
        <button type="button" class="danger" onClick=${() => grave('restore', 'Restore', 'Files and databases become what its newest backup has.', lost)}>Restore…</button>
        <button type="button" class="danger" onClick=${() => grave('reset', 'Reset', 'It begins anew: the main branch, and empty databases. Commits are kept under a ref.', lost)}>Reset…</button>
        <button type="button" class="danger" onClick=${() => grave('remove', 'Remove', 'Its checkout, services and databases go. It is refused if something in it is nowhere else.', [it.path, ...lost])}>Remove…</button></div></details></div></section>`;
}

function Sub({ env, name, port, state, pid, since, health, reason, last_lines, bytes }) {
  const does = (action) => ({ method: 'environments', params: { action, name: env, sub: name } });
  const log = async () => {
    const answer = await perform('environments', { action: 'logs', name: env, sub: name, count: 300 }, null);
    if (answer) show(`Log of ${env} ${name}`, printed(answer.log || 'It said nothing.', 'Log'));
  };
  return html`<li><${State} name=${state === 'stopped' ? 'idle' : state} text=${name} /><small class="sr">${state}</small>
    <span class="small">${state === 'running' ? html`<a href="http://${location.hostname}:${port}/" target="_blank" rel="noreferrer">:${port}</a>` : `:${port}`}</span>
    <span class="small ${health && health !== 'ok' ? 'warn' : 'mute'}">${state === 'running' ? `${health ?? 'runs'}, began` : state}${since && html` <${Ago} at=${since} />`}</span><span class="small mute">${size(bytes)}</span>
    <span class="actions">${state === 'running'
      ? html`<${Do} ...${does('stop')} label="Stop ${env} ${name}" words="stopped" asks=${{ title: `Stop ${env} ${name}?`, text: `Process ${pid} gets its grace, then its whole tree ends.`, yes: 'Stop it' }}>Stop…<//>`
      : html`<${Do} ...${does('launch')} label="Launch ${env} ${name}" words="launched">Launch<//>`}
      <button type="button" aria-label="Log of ${env} ${name}" onClick=${log}>Log</button></span>
    ${reason && html`<p class="small bad">${reason}</p>`}${last_lines?.length > 0 && html`<pre class="small" tabindex="0" aria-label="Last lines of ${env} ${name}">${last_lines.slice(-6).join('\n')}</pre>`}</li>`;
}
