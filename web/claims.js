// Who holds what: claims as a tree of the repository, in the colours of their holders.
import { useMemo, useRef, useState, useLayoutEffect } from './preact.js';
import { Ago, Answered, Empty, Page, Rows, Sign, count, html, hue, keep, route, toTask } from './ui.js';
import { useAsked } from './store.js';

/** Folders and files with the claims on them; a folder that only leads to one other is drawn with it. */
export function tree(claims) {
  const root = { name: '', path: '', folders: new Map(), claims: [], all: [] };
  for (const claim of claims) {
    let at = root;
    at.all.push(claim);
    for (const name of claim.pattern.replace(/\/$/, '').split('/')) {
      if (!at.folders.has(name)) at.folders.set(name, { name, path: at.path ? `${at.path}/${name}` : name, folders: new Map(), claims: [], all: [] });
      at = at.folders.get(name);
      at.all.push(claim);
    }
    at.claims.push(claim);
  }
  return root;
}
function rows(root, closed) {
  const shown = [];
  const walk = (node, depth) => {
    const inner = [...node.folders.values()].sort((a, b) => (b.folders.size > 0) - (a.folders.size > 0) || a.name.localeCompare(b.name));
    for (let it of inner) {
      let name = it.name;
      while (it.folders.size === 1 && !it.claims.length) {
        it = it.folders.values().next().value;
        name += `/${it.name}`;
      }
      const isOpen = !closed.has(it.path);
      shown.push({ node: it, name, depth, isFolder: it.folders.size > 0, isOpen });
      if (isOpen) walk(it, depth + 1);
    }
  };
  walk(root, 0);
  return shown;
}

/** Who holds it, for people: an attempt is known by its task. */
const who = (it) => it.holder_kind === 'attempt' && it.task ? it.task.slice(it.task.indexOf('/') + 1) : it.holder;

export function Claims() {
  const asked = useAsked('status', { scope: 'claims', limit: 500, pages: 100 }, (event) => event.kind.startsWith('claim.'), 20);
  return html`<${Page} title="Claims"><${Answered} asked=${asked}>${({ claims, next_cursor }) => html`<${Tree} claims=${claims} isCut=${!!next_cursor} />`}<//><//>`;
}

function Tree({ claims, isCut }) {
  const { query } = route.value;
  const holder = query.get('holder') ?? '';
  const text = (query.get('text') ?? '').toLowerCase();
  const [closed, close] = useState(new Set());
  const [here, move] = useState(0);
  const wants = useRef(false);
  const box = useRef();
  const holders = useMemo(() => {
    const found = new Map();
    for (const it of claims) found.set(it.holder, { ...it, n: (found.get(it.holder)?.n ?? 0) + 1 });
    return [...found.values()].sort((a, b) => b.n - a.n);
  }, [claims]);
  const shown = useMemo(() => rows(tree(claims.filter((it) => (!holder || it.holder === holder) && (!text || `${it.pattern} ${it.holder} ${it.reason ?? ''} ${it.task ?? ''}`.toLowerCase().includes(text)))), closed), [claims, closed, holder, text]);
  const current = Math.min(here, shown.length - 1);
  useLayoutEffect(() => {
    if (!wants.current) return;
    wants.current = false;
    box.current?.querySelector('[role=treeitem][tabindex="0"]')?.focus({ preventScroll: true });
  });
  const toggle = (path) => { const next = new Set(closed); if (!next.delete(path)) next.add(path); close(next); };
  const key = (event) => {
    const it = shown[current];
    if (!it || event.target.tagName === 'A') return;
    const goes = { ArrowDown: current + 1, ArrowUp: current - 1, Home: 0, End: shown.length - 1 };
    if (event.key === 'ArrowRight' && it.isFolder && !it.isOpen) toggle(it.node.path);
    else if (event.key === 'ArrowRight') goes.ArrowRight = current + 1;
    else if (event.key === 'ArrowLeft' && it.isFolder && it.isOpen) toggle(it.node.path);
    else if (event.key === 'ArrowLeft') { for (let at = current - 1; at >= 0; at--) if (shown[at].depth < it.depth) { goes.ArrowLeft = at; break; } }
    else if (event.key === 'Enter' || event.key === ' ') { if (it.isFolder) toggle(it.node.path); }
    else if (!(event.key in goes)) return;
    event.preventDefault();
    wants.current = true;
    if (goes[event.key] !== undefined) move(Math.max(0, Math.min(shown.length - 1, goes[event.key])));
  };
  if (!claims.length) return html`<${Empty}>Nobody holds anything. <code>kapell claim-files PATH --as me</code> takes something.<//>`;
  return html`<ul class="legend" aria-label="Holders">${holders.slice(0, 40).map((it) => html`<li key=${it.holder}><button type="button" class="tag ${hue(it.holder)}" aria-pressed=${holder === it.holder} onClick=${() => keep({ holder: holder === it.holder ? '' : it.holder })}>${who(it)}</button>
      <small>${it.holder_kind === 'attempt' ? it.holder : it.holder_kind}, ${count(it.n, 'claim')}</small></li>`)}</ul>
    <form class="filters" role="search" onSubmit=${(e) => e.preventDefault()}><label class="grow"><span class="sr">Text</span><input type="search" placeholder="Filter by path, holder, task" value=${query.get('text') ?? ''} onInput=${(e) => keep({ text: e.target.value })} /></label>
      <span class="small mute" role="status">${count(claims.length, 'claim')}${isCut ? ', and more that were not read' : ''}</span></form>
    ${shown.length ? html`<div ref=${box} onKeyDown=${key} class="tree"><${Rows} role="tree" tabindex="-1" total=${shown.length} height=${innerWidth > 760 ? 36 : 58} label="Claimed paths" reach=${wants.current ? current : undefined} row=${(at, style) => html`<${Row} key=${shown[at].node.path} style=${style} ...${shown[at]} isHere=${at === current} go=${() => move(at)} toggle=${toggle} />`} /></div>` : html`<${Empty}>No claim is like that.<//>`}`;
}

function Row({ node, name, depth, isFolder, isOpen, isHere, style, go, toggle }) {
  const inside = isFolder && !isOpen ? [...new Map(node.all.map((it) => [it.holder, it])).values()] : [];
  const first = node.claims[0];
  return html`<div role="treeitem" class="row claim ${first ? hue(first.holder) : ''}" style=${style} tabindex=${isHere ? 0 : -1} onFocus=${go} onClick=${() => isFolder && toggle(node.path)}
      aria-level=${depth + 1} aria-expanded=${isFolder ? isOpen : undefined} aria-selected=${isHere}>
    <span class="indent" style=${{ width: `${depth * 18}px` }} /><span class="twist" aria-hidden="true">${isFolder ? (isOpen ? '▾' : '▸') : ''}</span><span class="name">${name}${isFolder ? '/' : ''}</span>${first ? html`<span class="sr"> held by </span>` : html`<span class="sr">, ${count(node.all.length, 'claim')}</span>`}
    ${node.claims.map((it) => html`<span class="line small" key=${it.claim_id}>${it.task ? html`<a class="tag ${hue(it.holder)}" href=${toTask(it.task)} tabindex=${isHere ? 0 : -1}>${who(it)}</a>` : html`<span class="tag ${hue(it.holder)}">${who(it)}</span>`}${it.mode === 'shared' && html`<span>shared</span>`}${it.reason && html`<span class="mute">${it.reason}</span>`}
      <span class=${it.alive === false ? 'bad' : 'mute'}>${it.alive === false ? html`<${Sign} name="failed" />holder is gone, ` : ''}ends <${Ago} at=${it.expires_at} /></span></span>`)}
    ${inside.length > 0 && html`<span class="line small">${inside.slice(0, 4).map((it) => html`<span class="tag ${hue(it.holder)}">${who(it)}</span>`)}${inside.length > 4 && html`<span>+${inside.length - 4}</span>`}</span>`}</div>`;
}
