// A plan as a picture: layers from the dependencies, and only what is in sight is drawn.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from './preact.js';
import { Sign, html, toTask, tone } from './ui.js';

const SIZES = { cards: { w: 178, h: 58, x: 32, y: 12 }, dense: { w: 84, h: 26, x: 30, y: 6 } };
/** More edges than this are not drawn at once. */
const MOST_EDGES = 700;

/** Columns of tasks such that each stands right of what it depends on; wide layers are wrapped. */
export function layout(tasks) {
  const places = new Map(tasks.map((task, at) => [String(task.id), at]));
  const before = tasks.map((task) => (task.depends_on ?? []).map((id) => places.get(String(id))).filter((at) => at !== undefined));
  const after = tasks.map(() => []);
  before.forEach((list, at) => list.forEach((dep) => after[dep].push(at)));
  const open = before.map((list) => list.length);
  const layer = new Array(tasks.length).fill(0);
  const order = [];
  open.forEach((n, at) => n || order.push(at));
  for (let next = 0; next < order.length; next++) for (const at of after[order[next]]) {
    layer[at] = Math.max(layer[at], layer[order[next]] + 1);
    if (--open[at] === 0) order.push(at);
  }
  const layers = [];
  for (const at of order) (layers[layer[at]] ??= []).push(at);
  // Each layer in the order of the middle of what stands left of it, so that few edges cross.
  const rank = new Array(tasks.length).fill(0);
  for (const [at, members] of layers.entries()) {
    if (at) {
      const middle = new Map(members.map((it) => [it, before[it].reduce((sum, dep) => sum + rank[dep], 0) / (before[it].length || 1)]));
      members.sort((a, b) => middle.get(a) - middle.get(b) || a - b);
    }
    members.forEach((it, place) => { rank[it] = place / members.length; });
  }
  const most = Math.max(8, Math.ceil(Math.sqrt(tasks.length)));
  const column = new Array(tasks.length).fill(0);
  const row = new Array(tasks.length).fill(0);
  const tallest = Math.min(most, Math.max(1, ...layers.map((it) => it.length)));
  let columns = 0;
  const highest = [], lowest = [];
  for (const members of layers) {
    const wide = Math.ceil(members.length / most);
    const tall = Math.ceil(members.length / wide);
    members.forEach((it, place) => {
      column[it] = columns + Math.floor(place / tall);
      row[it] = (place % tall) + (tasks.length < 150 ? (tallest - tall) / 2 : 0);
      highest[column[it]] = Math.min(highest[column[it]] ?? Infinity, row[it]);
      lowest[column[it]] = Math.max(lowest[column[it]] ?? 0, row[it]);
    });
    columns += wide;
  }
  return { before, after, column, row, columns, rows: tallest, highest, lowest };
}

/** Where an edge passes a column between its ends, in rows from the middle of the first: where it would go anyway if nothing is there, else in the lane between two cards that is nearest to that. */
export function lane(highest, lowest, wish) {
  return wish <= highest - 0.5 || wish >= lowest + 0.5 ? wish : highest + Math.round(wish - highest + 0.5) - 0.5;
}

/** Colours of the states for the small picture of all of it. */
function colours(element) {
  const ink = {};
  for (const name of ['mute', 'info', 'good', 'warn', 'bad']) {
    element.style.color = `var(--${name})`;
    ink[name] = getComputedStyle(element).color;
  }
  return ink;
}

export function Graph({ plan, chosen, matches, held, isDense }) {
  const [tasks, shape] = useMemo(() => { const some = plan.isWhole.peek() ? plan.tasks : plan.tasks.slice(0, plan.tasks.length); return [some, layout(some)]; }, [plan, plan.shape.value]);
  const version = plan.version.value;
  const [view, see] = useState({ x: 0, y: 0, w: 1000, h: 600 });
  const basic = SIZES[isDense ? 'dense' : 'cards'];
  // Cards fill the room that there is.
  const size = isDense ? basic : { ...basic, w: Math.min(270, Math.max(basic.w, Math.floor((view.w - 24 + basic.x) / shape.columns) - basic.x)) };
  const stepX = size.w + size.x, stepY = size.h + size.y;
  const width = shape.columns * stepX - size.x + 24, height = shape.rows * stepY - size.y + 24;
  const at = (place) => [12 + shape.column[place] * stepX, 12 + shape.row[place] * stepY];

  const box = useRef();
  const map = useRef();
  const look = () => {
    const { scrollLeft: x, scrollTop: y, clientWidth: w, clientHeight: h } = box.current;
    see((old) => old.x === x && old.y === y && old.w === w && old.h === h ? old : { x, y, w, h });
  };
  useLayoutEffect(() => {
    look();
    const sizes = new ResizeObserver(look);
    sizes.observe(box.current);
    return () => sizes.disconnect();
  }, []);

  // One stop for the tab key; arrows go from task to task.
  const [focus, move] = useState(0);
  const wants = useRef(false);
  const here = Math.min(focus, tasks.length - 1);
  const reveal = (place) => {
    const [x, y] = at(place);
    const { x: left, y: top, w, h } = { ...view, x: box.current.scrollLeft, y: box.current.scrollTop };
    if (x < left + 12 || x + size.w > left + w - 12) box.current.scrollLeft = x + size.w / 2 - w / 2;
    if (y < top + 12 || y + size.h > top + h - 12) box.current.scrollTop = y + size.h / 2 - h / 2;
  };
  useLayoutEffect(() => {
    if (!wants.current) return;
    wants.current = false;
    box.current.querySelector(`[data-place="${here}"]`)?.focus({ preventScroll: true });
  });
  useEffect(() => { if (chosen >= 0 && chosen < tasks.length) { move(chosen); reveal(chosen); } }, [chosen, isDense]);
  useEffect(() => {
    // At first, where something happens.
    if (chosen >= 0) return;
    const first = tasks.findIndex((it) => ['running', 'judging', 'landing'].includes(it.state));
    if (first >= 0) { move(first); reveal(first); }
  }, [plan]);
  const key = (event) => {
    const beside = (step) => {
      const members = [];
      for (let it = 0; it < tasks.length; it++) if (shape.column[it] === shape.column[here]) members.push(it);
      members.sort((a, b) => shape.row[a] - shape.row[b]);
      return members[members.indexOf(here) + step];
    };
    const across = (step) => {
      const linked = (step < 0 ? shape.before : shape.after)[here];
      if (linked.length) return linked[0];
      let best;
      for (let it = 0; it < tasks.length; it++) if (shape.column[it] === shape.column[here] + step && (best === undefined || Math.abs(shape.row[it] - shape.row[here]) < Math.abs(shape.row[best] - shape.row[here]))) best = it;
      return best;
    };
    const next = { ArrowUp: () => beside(-1), ArrowDown: () => beside(1), ArrowLeft: () => across(-1), ArrowRight: () => across(1), Home: () => 0, End: () => tasks.length - 1 }[event.key]?.();
    if (next === undefined) return;
    event.preventDefault();
    wants.current = true;
    reveal(next);
    move(next);
    look();
  };

  const left = view.x - stepX, right = view.x + view.w + size.x, top = view.y - stepY, bottom = view.y + view.h + size.y;
  const shown = [];
  const firstColumn = (left - 12) / stepX, lastColumn = (right - 12) / stepX, firstRow = (top - 12) / stepY, lastRow = (bottom - 12) / stepY;
  for (let place = 0; place < tasks.length; place++) {
    const column = shape.column[place], row = shape.row[place];
    if ((column > firstColumn && column < lastColumn && row > firstRow && row < lastRow) || place === here) shown.push(place);
  }
  const edges = new Map();
  for (const place of shown) {
    for (const dep of shape.before[place]) edges.set(dep * tasks.length + place, [dep, place]);
    for (const next of shape.after[place]) edges.set(place * tasks.length + next, [place, next]);
    if (edges.size > MOST_EDGES) break;
  }
  const line = ([from, until]) => {
    const [x1, y1] = at(from), [x2, y2] = at(until);
    const c = x2, d = y2 + size.h / 2, first = shape.column[from], last = shape.column[until];
    let a = x1 + size.w, b = y1 + size.h / 2, path = `M${a} ${b}`;
    const curve = (x, y) => { const bend = Math.max(12, Math.min(90, (x - a) / 2)); path += `C${a + bend} ${b} ${x - bend} ${y} ${x} ${y}`; };
    // Those of different tasks that share a lane lie beside each other.
    const beside = ((from % 3) - 1) * size.y / 4;
    for (let column = first + 1; column < last; column++) {
      const x = 12 + column * stepX;
      if (x > right || x + size.w < left) continue;
      const wish = shape.row[from] + ((shape.row[until] - shape.row[from]) * (column - first)) / (last - first);
      const y = 12 + size.h / 2 + lane(shape.highest[column], shape.lowest[column], wish) * stepY + beside;
      curve(x, y);
      path += `H${x + size.w}`;
      a = x + size.w;
      b = y;
    }
    curve(c, d);
    return path;
  };
  const isOn = ([from, until]) => from === chosen || until === chosen;
  const drawn = [...edges.values()].sort((a, b) => isOn(a) - isOn(b));

  const isLarge = width > view.w + 1 || height > view.h + 1;
  useEffect(() => {
    const canvas = map.current;
    if (!canvas) return;
    const wide = canvas.clientWidth, tall = canvas.clientHeight, dots = devicePixelRatio;
    canvas.width = wide * dots;
    canvas.height = tall * dots;
    const pen = canvas.getContext('2d');
    pen.scale(dots, dots);
    const ink = colours(canvas);
    const dx = wide / shape.columns, dy = tall / shape.rows;
    for (let place = 0; place < tasks.length; place++) {
      pen.globalAlpha = matches && !matches(tasks[place]) ? 0.15 : tone(tasks[place].state) === 'mute' ? 0.45 : 1;
      pen.fillStyle = ink[tone(tasks[place].state)];
      pen.fillRect(shape.column[place] * dx + dx * 0.1, shape.row[place] * dy + dy * 0.1, Math.max(1, dx * 0.8), Math.max(1, dy * 0.8));
    }
  }, [version, shape, view.w, matches, isLarge]);
  const jump = (event) => {
    if (event.type === 'pointermove' && !event.buttons) return;
    const area = map.current.getBoundingClientRect();
    const x = ((event.clientX - area.left) / area.width) * width;
    // Never to where nothing is.
    const lowest = shape.lowest[Math.max(0, Math.min(shape.columns - 1, Math.floor(x / stepX)))];
    box.current.scrollLeft = x - view.w / 2;
    box.current.scrollTop = Math.min(((event.clientY - area.top) / area.height) * height, (lowest + 1) * stepY) - view.h / 2;
  };

  return html`<div class="graph ${isDense ? 'dense' : ''}">
    <div class="canvas" ref=${box} onScroll=${look} onKeyDown=${key} role="group" aria-label="Graph of tasks. Arrow keys go along it, Enter opens a task.">
      <div class="sheet" style=${{ width: `${width}px`, height: `${height}px` }}>
        <svg aria-hidden="true" style=${{ left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` }} viewBox="${left} ${top} ${right - left} ${bottom - top}">
          ${drawn.map((edge) => html`<path key=${edge[0] * tasks.length + edge[1]} class=${isOn(edge) ? 'on' : tasks[edge[0]].state === 'done' ? 'past' : ''} d=${line(edge)} />`)}</svg>
        ${shown.map((place) => {
          const task = tasks[place];
          const [x, y] = at(place);
          const claims = held.get(String(task.id));
          return html`<a key=${task.id} data-place=${place} class="node ${tone(task.state)} ${place === chosen ? 'chosen' : ''} ${matches && !matches(task) ? 'dim' : ''}" href=${toTask(`${plan.id}/${task.id}`)}
            style=${{ left: `${x}px`, top: `${y}px`, width: `${size.w}px`, height: `${size.h}px` }} tabindex=${place === here ? 0 : -1} onFocus=${() => move(place)} aria-current=${place === chosen ? 'true' : undefined}
            title=${isDense ? `${task.task} (${task.state})` : undefined}>
            <span class="line"><${Sign} name=${task.state} /><span class="sr">Task </span><b>${task.id}</b>${isDense ? html`<span class="sr"> ${task.state}: ${task.task}</span>` : html`${' '}<em>${task.state}</em>`}</span>
            ${!isDense && html` <span class="what">${task.task}</span> <span class="line small">${task.worker && html`<span>${task.worker}</span> `}${task.attempts > 1 && html`<span>try ${task.attempts}</span> `}${claims && html`<span class="lock" title=${claims.join('\n')}>${claims.length === 1 ? claims[0] : `${claims.length} claims`}</span><span class="sr"> ${claims.join(', ')}</span>`}</span>`}</a>`;
        })}</div></div>
    ${isLarge && html`<div class="map" onPointerDown=${jump} onPointerMove=${jump} aria-hidden="true"><canvas ref=${map}></canvas>
      <i style=${{ left: `${(100 * view.x) / width}%`, top: `${(100 * view.y) / height}%`, width: `${Math.min(100, (100 * view.w) / width)}%`, height: `${Math.min(100, (100 * view.h) / height)}%` }} /></div>`}</div>`;
}
