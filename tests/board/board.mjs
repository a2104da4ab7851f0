// The board in a real browser, against the built `kapell serve` with a project that scripted workers work in.
//
// Environment: KAPELL (the program), CHROMIUM, NODE_MODULES (as modules.sh says), FAILURES (a folder for pictures
// of what failed), ONLY (the beginning of the names of the parts to run).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { HOSTILE, Scene, sleep, until } from './scene.mjs';

const require = createRequire(path.join(process.env.NODE_MODULES, 'x.js'));
const { chromium } = require('playwright-core');
const AXE = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

let passed = 0, failed = 0, page = null, steps = [];
const check = (is, what) => { if (!is) throw new Error(what); };
const same = (found, wanted, what) => check(JSON.stringify(found) === JSON.stringify(wanted), `${what}: ${JSON.stringify(found)} instead of ${JSON.stringify(wanted)}`);
const step = (name, action) => steps.push([name, action]);

const scene = new Scene('board');
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ['--no-sandbox'] });
let server = null;

/** What the browser complained of, which it must not: of the policy, above all. */
let complaints = [];

/** A page of its own, with the token unless told, at a place of the board. */
async function visit(place = '#/', { width = 1280, height = 860, scheme = 'light', token = server.token, before, at = server } = {}) {
  await leave();
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce' });
  page = await context.newPage();
  page.setDefaultTimeout(15_000);
  complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => { if (message.type() === 'error' && !/net::ERR|Failed to load resource|WebSocket connection/.test(message.text())) complaints.push(message.text()); });
  await before?.(page);
  await page.goto(`${at.base}/${token === null ? '' : `#token=${token}`}`);
  if (token === server.token) {
    await page.locator('.link.live').waitFor();
    if (place !== '#/') await go(place);
  }
  return page;
}
async function leave() {
  if (page) await page.context().close();
  page = null;
}
async function go(place) {
  await page.evaluate((to) => { location.hash = to; }, place);
  await page.waitForFunction(() => !document.querySelector('[aria-busy=true]'));
}
const texts = (selector) => page.locator(selector).allInnerTexts();
const see = (text, selector = 'main') => page.locator(selector, { hasText: text }).first().waitFor();
const focused = () => page.evaluate(() => { const it = document.activeElement; return (it.getAttribute('aria-label') ?? it.innerText ?? it.tagName).trim().slice(0, 80); });
const dialog = () => page.locator('dialog[open]');
const state = (plan, task) => scene.kapell('status', '--scope', 'task', '--id', `${plan}/${task}`).state;

/** Accessibility, contrast among it, as axe sees it. */
async function axe(what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
  const found = violations.map((it) => `${it.id} (${it.nodes.length}): ${it.nodes.slice(0, 2).map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? node.all[0]?.message ?? ''}`).join(' | ')}`);
  check(!found.length, `${what}: ${found.join('\n    ')}`);
}

const VIEWS = () => [['overview', '#/'], ['plan', `#/plans/${scene.release}?look=graph`], ['plan as a list', `#/plans/${scene.release}?look=list`], ['task', `#/plans/${scene.release}/cart`],
  ['attempt, changes', `#/attempts/${attempt('discounts', 0)}`], ['attempt, log', `#/attempts/${attempt('cart', 0)}?look=log`], ['claims', '#/claims'], ['environments', '#/environments'], ['cost', '#/cost'], ['events', '#/events'], ['nothing', '#/nothing/here']];
const attempts = new Map();
function attempt(task, number) {
  if (!attempts.has(task)) attempts.set(task, scene.kapell('status', '--scope', 'task', '--id', `${scene.release}/${task}`).attempts.map((it) => it.attempt));
  return attempts.get(task)[number];
}

step('token: without one, or with a wrong one, the page says how to get it', async () => {
  await visit('#/', { token: null });
  await see('A token is needed');
  await see('kapell serve');
  await axe('the door');
  await page.getByLabel('Token, or the whole address').fill('not-the-token-not-the-token');
  await page.keyboard.press('Enter');
  await see('This token is not the server’s');
  await page.getByLabel('Token, or the whole address').fill(server.board);
  await page.keyboard.press('Enter');
  await page.locator('.link.live').waitFor();
  await see('autumn release');
  // What was typed is in no address.
  check(!page.url().includes(server.token), 'the token is in the address');
});

step('token: it is wiped from the address and kept for the tab alone', async () => {
  await visit();
  same(new URL(page.url()).hash, '#/', 'the address');
  const kept = await page.evaluate(() => [JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]);
  check(kept[0].includes(server.token) && !kept[1].includes(server.token) && !kept[2], `kept: ${kept}`);
  await page.reload();
  await page.locator('.link.live').waitFor();
  const policy = (await page.request.get(`${server.base}/`)).headers()['content-security-policy'];
  check(policy.includes("default-src 'self'") && !policy.includes('unsafe'), `the policy is ${policy}`);
  await page.getByRole('button', { name: 'Sign out' }).click();
  await see('A token is needed');
});

step('overview: what needs a person comes first; plans and workers by group', async () => {
  await visit();
  await see('autumn release: 4 tasks failed or blocked', '.needs');
  await see('environment dev2/qa crashed: it died of signal 9', '.needs');
  same((await texts('.needs li')).filter((it) => it.includes('crashed')).length, 1, 'lines about one crash');
  await page.locator('.needs li', { hasText: 'dev2/qa crashed' }).getByRole('link', { name: 'Look' }).waitFor();
  const order = await page.evaluate(() => ['.needs', '.figures', '.plans', '.groups'].map((it) => document.querySelector(it).getBoundingClientRect().top));
  check(order.every((top, at) => !at || top > order[at - 1]), `the order is ${order}`);
  const plans = await texts('.plans > li');
  check(plans[0].includes('autumn release') && plans[0].includes('4 / 12 done') && plans[0].includes('2 at work') && plans[0].includes('4 failed or blocked'), plans[0]);
  same((await texts('.groups h3')).map((it) => it.split('\n')[0].split(' ')[0]).sort(), ['backend', 'review', 'storefront'], 'groups');
  check((await texts('.groups .card')).some((it) => it.includes('back3') && it.includes('search')), 'back3 is at work on search');
  await page.locator('.needs li', { hasText: 'failed or blocked' }).getByRole('link').first().click();
  await page.waitForURL(/state=failed/);
  await see('autumn release', 'h1');
});

step('plan: a graph in layers, with claims and tries', async () => {
  await visit(`#/plans/${scene.release}?look=graph`);
  await page.locator('.node').nth(11).waitFor();
  same(await page.locator('.node').count(), 12, 'nodes');
  const left = async (id) => (await page.getByRole('link', { name: new RegExp(`^Task ${id} `) }).boundingBox()).x;
  const [prices, cart, checkout, docs] = [await left('prices'), await left('cart'), await left('checkout'), await left('docs')];
  check(prices < cart && cart < checkout && checkout < docs, 'who depends on another stands right of it');
  same(await page.locator('.sheet > svg path').count(), 15, 'edges');
  // Where they pass other layers they run between the cards, not behind them.
  const behind = () => page.evaluate(() => {
    const cards = [...document.querySelectorAll('.sheet .node')].map((it) => ({ id: it.querySelector('b').innerText, x: it.offsetLeft, y: it.offsetTop, w: it.offsetWidth, h: it.offsetHeight }));
    const found = new Set();
    for (const line of document.querySelectorAll('.sheet > svg path')) {
      const length = line.getTotalLength();
      for (let at = 0; at <= length; at += 4) {
        const { x, y } = line.getPointAtLength(at);
        for (const it of cards) if (x > it.x + 1 && x < it.x + it.w - 1 && y > it.y + 1 && y < it.y + it.h - 1) found.add(it.id);
      }
    }
    return [...found];
  });
  same(await behind(), [], 'cards with edges behind them');
  await page.getByRole('link', { name: /^Task cart running .* front2 2 claims src\/cart\/lines.ts/ }).waitFor();
  await page.getByRole('link', { name: /^Task discounts / }).click();
  await see('Discount codes with an expiry date', '.panel');
  same(await page.locator('.tries li').count(), 2, 'tries');
  await see('rejected', '.tries');
  check((await page.locator('.sheet > svg .on').count()) === 3, 'its edges stand out');
});

step('plan: what happens is seen without asking', async () => {
  await visit(`#/plans/${scene.release}?look=graph`);
  await page.getByRole('link', { name: /^Task cart running/ }).waitFor();
  scene.go('cart');
  await page.getByRole('link', { name: /^Task cart done/ }).waitFor();
  await page.getByRole('link', { name: /^Task checkout (running|judging|done)/ }).waitFor();
  await page.getByRole('link', { name: /^Task checkout done/ }).waitFor();
  await see('6 / 12 done');
});

step('attempt: the log is followed while it is written', async () => {
  await visit(`#/attempts/${attempt('search', 0)}`);
  const log = page.locator('.terminal');
  await see('Builds the index of 412 files', '.terminal');
  check(!(await log.innerText()).includes('"kapell"'), 'reports are told in words');
  writeFileSync(path.join(scene.base, 'more', 'search'), 'a line that came later\n');
  await see('a line that came later', '.terminal');
  await page.getByLabel('As it was printed').check();
  await see('"kapell"', '.terminal');
  await see('following');
});

step('attempt: what a worker prints is text, never more', async () => {
  await visit(`#/attempts/${attempt('cart', 0)}?look=log`);
  await see(HOSTILE, '.terminal');
  scene.kapell('claim-files', 'lib/odd.ts', '--holder', 'odd-holder', '--ttl-s', '900', '--reason', HOSTILE);
  await go('#/claims');
  await see(HOSTILE, '[role=treeitem]');
  await go('#/events?text=odd-holder');
  await see('odd-holder claims', '.rows');
  same(await page.locator('img, #app script').count(), 0, 'elements out of a text');
  check((await page.title()) === 'Events · Kapell', await page.title());
});

step('attempt: changes are coloured, gates have their evidence, cost is told', async () => {
  await visit(`#/attempts/${attempt('discounts', 0)}`);
  await see('outside its claim', '.file');
  const colour = (selector) => page.locator(selector).first().evaluate((it) => getComputedStyle(it).color);
  check((await colour('.diff .plus')) !== (await colour('.diff .hunk')), 'the lines have colours');
  check((await texts('.diff .plus'))[0].startsWith('+'), 'and signs');
  await see('src/mail.ts is not owned by the task', '.gates pre');
  await page.getByRole('button', { name: 'All of it' }).first().click();
  await see('src/mail.ts', '.gates pre');
  await see('$0.18', '.figures');
  await page.getByRole('group', { name: 'Tries' }).getByText('2').click();
  await see('approved', '.top');
  await go(`#/attempts/${attempt('legacy', 0)}`);
  await see('TODO', '.gates pre');
});

step('claims: a tree in the colours of the holders, walked by keys, changed by others', async () => {
  await visit('#/claims');
  await see('README.md', '[role=treeitem]');
  await see('rewriting the introduction', '[role=treeitem]');
  const tint = (name) => page.getByRole('treeitem', { name: `${name} held by` }).locator('.name').evaluate((it) => getComputedStyle(it).color);
  check((await tint('README.md')) === (await tint('docs/handbook')), 'one holder has one colour');
  check((await tint('README.md')) !== (await tint('assets/**')), 'two holders have two');
  scene.kapell('claim-files', 'src/deep/er/one.ts', 'src/deep/two.ts', '--as', 'ben');
  await page.getByRole('treeitem', { name: /^two\.ts\s+held by\s+ben/ }).waitFor();
  await page.locator('[role=treeitem][tabindex="0"]').focus();
  await page.keyboard.press('Home');
  const start = await focused();
  await page.keyboard.press('ArrowDown');
  check((await focused()) !== start, 'down goes on');
  await page.getByRole('treeitem', { name: /^src/ }).focus();
  const rows = await page.getByRole('treeitem').count();
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction((n) => document.querySelectorAll('[role=treeitem]').length < n, rows);
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction((n) => document.querySelectorAll('[role=treeitem]').length === n, rows);
  await page.getByRole('button', { name: 'ben' }).click();
  await page.waitForFunction(() => !document.body.innerText.includes('README.md'));
  check(page.url().includes('holder=ben'), 'a filter is part of the address');
  scene.kapell('release-files', '--as', 'ben', '--all');
});

step('environments: launched and looked at with buttons; what destroys asks', async () => {
  await visit('#/environments');
  const place = (name) => page.locator('.place', { has: page.getByRole('heading', { name }) });
  await see('crashed', '.place');
  await see('not committed', '.place');
  await page.getByRole('button', { name: 'Launch dev2 dev' }).click();
  await page.getByRole('button', { name: 'Stop dev2 dev' }).waitFor();
  // One that dies is seen at once, though nobody does anything: before it would be asked for again.
  const dying = scene.kapell('env', 'status').environments.find((it) => it.name === 'dev2').subs.find((it) => it.name === 'dev');
  process.kill(dying.pid, 'SIGKILL');
  await page.locator('.subs li', { has: page.getByRole('button', { name: 'Launch dev2 dev' }), hasText: 'it died of signal 9' }).waitFor({ timeout: 5_000 });
  await page.getByRole('button', { name: 'Launch dev2 dev' }).click();
  await page.getByRole('button', { name: 'Stop dev2 dev' }).waitFor();
  const { subs } = scene.kapell('env', 'status').environments.find((it) => it.name === 'dev2');
  same(subs.find((it) => it.name === 'dev').state, 'running', 'dev2 dev');
  await page.locator('.subs li', { has: page.getByRole('button', { name: 'Log of dev2 dev' }), hasText: 'ok, began' }).waitFor();
  await page.getByRole('button', { name: 'Log of dev2 dev' }).click();
  await dialog().getByText('listening on').waitFor();
  await page.keyboard.press('Escape');
  // It asks, and leaves it where the answer is no; the focus is where it was.
  await page.getByRole('button', { name: 'Stop dev2 dev' }).click();
  await axe('a dialog');
  same(await focused(), 'Leave it', 'the careful answer is the one at hand');
  await page.keyboard.press('Escape');
  await dialog().waitFor({ state: 'detached' });
  same(await focused(), 'Stop dev2 dev', 'the focus');
  same(scene.kapell('env', 'status').environments.find((it) => it.name === 'dev2').subs.find((it) => it.name === 'dev').state, 'running', 'dev2 dev');
  await page.keyboard.press('Enter');
  await dialog().getByRole('button', { name: 'Stop it' }).click();
  await page.getByRole('button', { name: 'Launch dev2 dev' }).waitFor();
  // Removing lists what goes, is refused while something would be lost, and then wants the name typed.
  await place('dev3').getByText('More').click();
  await place('dev3').getByText('Git status').click();
  await dialog().getByText('notes.md').waitFor();
  await page.keyboard.press('Escape');
  same(await focused(), 'More', 'the focus is at the menu');
  await page.keyboard.press('Enter');
  await place('dev3').getByRole('button', { name: 'Reset…' }).click();
  await dialog().getByRole('button', { name: 'Reset it' }).click();
  await dialog().getByText('dev3 was left as it is').waitFor();
  check(await dialog().getByRole('button', { name: 'Reset it all the same' }).isDisabled(), 'not without the name');
  await page.keyboard.press('Escape');
  same(scene.kapell('env', 'status').environments.find((it) => it.name === 'dev3').dirty, true, 'dev3 has its changes');
  await place('dev3').getByText('More').click();
  await place('dev3').getByRole('button', { name: 'Remove…' }).click();
  await dialog().getByText('it has changes that are not committed').waitFor();
  await dialog().getByRole('button', { name: 'Remove it' }).click();
  await dialog().getByText('dev3 was left as it is').waitFor();
  check(await dialog().getByRole('button', { name: 'Remove it all the same' }).isDisabled(), 'not without the name');
  await dialog().getByRole('textbox').fill('dev3');
  await dialog().getByRole('button', { name: 'Remove it all the same' }).click();
  await place('dev3').waitFor({ state: 'detached' });
});

step('cost: month, providers, limits and a forecast', async () => {
  await visit('#/cost');
  await see('This month', '.figures');
  await see('Forecast', '.figures');
  const words = await page.locator('.month svg').getAttribute('aria-label');
  check(/spent until day \d+ of \d+; \$[\d.]+ expected; the limit is \$100\.00/.test(words), words);
  same(await page.locator('.month .limit path').count(), 1, 'the line of the limit');
  same((await texts('tbody th')).sort(), ['claude', 'codex'], 'providers');
  await page.getByRole('button', { name: 'Workers' }).click();
  await see('back2', 'tbody');
  await see('of $60.00 this month', '.plain-list');
});

step('events: live, filtered by kind, plan and text', async () => {
  await visit('#/events');
  await see('claim.granted', '.rows');
  await page.getByRole('button', { name: 'Claims', exact: true }).click();
  await page.waitForFunction(() => [...document.querySelectorAll('.rows code')].length > 0 && [...document.querySelectorAll('.rows code')].every((it) => it.textContent.startsWith('claim.')));
  await page.getByPlaceholder('Filter by text').fill('live-holder');
  await see('Nothing of that kind');
  scene.kapell('claim-files', 'lib/live.ts', '--holder', 'live-holder', '--ttl-s', '900');
  await see('live-holder claims lib/live.ts', '.rows');
  await page.getByRole('button', { name: 'Hold still' }).click();
  scene.kapell('claim-files', 'lib/later.ts', '--holder', 'live-holder', '--ttl-s', '900');
  await page.getByRole('button', { name: /Go on \([1-9]/ }).click();
  await see('live-holder claims lib/later.ts', '.rows');
  await page.getByText('live-holder claims lib/later.ts').click();
  await dialog().getByText('claim.granted').waitFor();
  await page.keyboard.press('Escape');
  await go(`#/events?plan=${scene.release}`);
  await page.waitForFunction(() => ![...document.querySelectorAll('.rows')].some((it) => it.innerText.includes('live-holder')));
});

step('keys: all of it without a mouse', async () => {
  await visit();
  await page.locator('body').press('Tab');
  same(await focused(), 'Skip to the content', 'first');
  await page.keyboard.press('Enter');
  same(await focused(), 'Overview', 'the heading');
  const reach = async (name, most = 60) => {
    for (let at = 0; at < most; at++) {
      if ((await focused()).startsWith(name)) return;
      await page.keyboard.press('Tab');
      const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      check(ring !== 'none' || (await page.evaluate(() => document.activeElement === document.body)), `no ring at ${await focused()}`);
    }
    throw new Error(`the tab key does not lead to ${name}`);
  };
  await reach('autumn release');
  await page.keyboard.press('Enter');
  await page.locator('.node').first().waitFor();
  same(await focused(), 'autumn release', 'the heading of the plan');
  await reach('Task');
  await page.keyboard.press('Home');
  check(/^Task\s+prices/.test(await focused()), await focused());
  await page.keyboard.press('ArrowDown');
  check(/^Task\s+stock/.test(await focused()), await focused());
  await page.keyboard.press('ArrowRight');
  check(/^Task\s+legacy/.test(await focused()), await focused());
  await page.keyboard.press('ArrowLeft');
  check(/^Task\s+stock/.test(await focused()), await focused());
  await page.keyboard.press('Enter');
  await see('Reserve stock while a cart is open', '.panel');
});

step('look: light and dark follow the system, and the switch', async () => {
  await visit('#/', { scheme: 'dark' });
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const dark = await ground();
  await page.emulateMedia({ colorScheme: 'light' });
  const light = await ground();
  check(dark !== light, 'the system decides');
  const button = page.getByRole('button', { name: /^Colours/ });
  await button.click();
  same(await ground(), light, 'light');
  await button.click();
  same(await ground(), dark, 'dark');
  await page.reload();
  await page.locator('.link.live').waitFor();
  same(await ground(), dark, 'it is kept');
});

for (const [width, height] of [[360, 780], [760, 900], [1100, 900], [1920, 1080]]) step(`look: nothing sticks out at ${width} px`, async () => {
  await visit('#/', { width, height });
  for (const [name, place] of VIEWS()) {
    await go(place);
    await sleep(120);
    const [wide, out] = await page.evaluate(() => [document.documentElement.scrollWidth, [...document.querySelectorAll('main *, .bar *, nav *')].filter((it) => it.getBoundingClientRect().right > innerWidth + 1 && !it.closest('.canvas, .rows, .diff, .scroll, pre, .sr, .terminal')).slice(0, 2).map((it) => it.outerHTML.slice(0, 120))]);
    check(wide <= width && !out.length, `${name}: ${wide} px; ${out}`);
  }
  if (width === 360) {
    const small = await page.evaluate(() => [...document.querySelectorAll('button, nav a')].filter((it) => it.offsetParent && Math.min(it.offsetWidth, it.offsetHeight) < 24).map((it) => it.outerHTML.slice(0, 90)));
    check(!small.length, `too small for a finger: ${small}`);
  }
});

for (const scheme of ['light', 'dark']) for (const width of [1280, 360]) step(`accessibility: axe, ${scheme}, ${width} px`, async () => {
  await visit('#/', { scheme, width });
  for (const [name, place] of VIEWS()) {
    await go(place);
    await sleep(150);
    await axe(name);
  }
});

step('behind: an event that does not come is told, and asked for again', async () => {
  let drops = false;
  await visit('#/events', { before: (page) => page.routeWebSocket(/\/rpc$/, (socket) => {
    const there = socket.connectToServer();
    there.onMessage((message) => { if (!drops || !String(message).includes('"events.event"')) socket.send(message); });
  }) });
  drops = true;
  scene.kapell('claim-files', 'lib/missed.ts', '--holder', 'live-holder', '--ttl-s', '900');
  await page.locator('.banner', { hasText: 'Behind' }).waitFor({ timeout: 30_000 });
  drops = false;
  await see('claims lib/missed.ts', '.rows');
  await page.locator('.banner').waitFor({ state: 'detached', timeout: 30_000 });
});

step('behind: a clock that is wrong is told', async () => {
  await visit('#/', { before: (page) => page.route('**/healthz', (route) => route.fulfill({ status: 200, body: '{}', headers: { date: new Date(Date.now() + 300_000).toUTCString() } })) });
  await page.locator('.banner', { hasText: 'clock is 5 min behind' }).waitFor();
});

step('reconnect: a server that was killed and started again', async () => {
  // Only what was read before can be shown without a server.
  await visit('#/environments');
  await page.getByRole('button', { name: 'Launch dev2 staging' }).waitFor();
  await go('#/events');
  await server.end('SIGKILL');
  await page.locator('.banner', { hasText: 'Not connected.' }).waitFor();
  await page.locator('.banner', { hasText: 'What you see is of' }).waitFor();
  await page.locator('.link.down').waitFor();
  // What cannot be done is said, and not done later.
  await go('#/environments');
  await page.getByRole('button', { name: 'Launch dev2 staging' }).click();
  await see('there is no connection to the server', '.toast');
  await go('#/events');
  scene.kapell('claim-files', 'lib/meanwhile.ts', '--holder', 'live-holder', '--ttl-s', '900');
  server = await scene.serve(server.port);
  await page.locator('.link.live').waitFor({ timeout: 40_000 });
  await page.locator('.banner').waitFor({ state: 'detached' });
  await see('claims lib/meanwhile.ts', '.rows');
  scene.kapell('claim-files', 'lib/after.ts', '--holder', 'live-holder', '--ttl-s', '900');
  await see('claims lib/after.ts', '.rows');
  same(scene.kapell('env', 'status').environments.find((it) => it.name === 'dev2').subs.find((it) => it.name === 'staging').state, 'stopped', 'dev2 staging');
});

step('reconnect: a server that does not answer', async () => {
  await visit('#/claims');
  process.kill(server.pid, 'SIGSTOP');
  try {
    await page.locator('.banner', { hasText: 'The server does not answer.' }).or(page.locator('.banner', { hasText: 'Not connected.' })).waitFor({ timeout: 40_000 });
    await sleep(6000);
    check(!(await page.locator('.link.live').count()), 'it is not live');
  } finally {
    process.kill(server.pid, 'SIGCONT');
  }
  await page.locator('.link.live').waitFor({ timeout: 40_000 });
  await page.locator('.banner').waitFor({ state: 'detached' });
});

step('reconnect: who missed too much is told so, and begins anew', async () => {
  await visit('#/events');
  await server.end('SIGKILL');
  await page.locator('.link.down').waitFor();
  const pair = [['claim-files', { paths: ['lib/x.ts'], holder: 'many' }], ['release-files', { paths: ['lib/x.ts'], holder: 'many' }]];
  scene.calls(Array.from({ length: 1100 }, () => pair).flat());
  server = await scene.serve(server.port);
  await page.locator('.link.live').waitFor({ timeout: 40_000 });
  await see('events were left out here', '.rows');
  scene.kapell('claim-files', 'lib/anew.ts', '--holder', 'live-holder', '--ttl-s', '900');
  await see('claims lib/anew.ts', '.rows');
});

step('actions: a stage that waits for a person is approved from the overview', async () => {
  await visit();
  scene.kapell('pipeline', 'run', 'ship', '--request', 'ship the autumn release');
  const button = page.locator('.needs').getByRole('button', { name: 'Approve deploy…' });
  await button.waitFor({ timeout: 40_000 });
  await button.click();
  await axe('the question');
  await dialog().getByRole('button', { name: 'Approve it' }).click();
  await button.waitFor({ state: 'detached', timeout: 40_000 });
  const run = scene.kapell('status').plans.find((it) => it.name.startsWith('ship'));
  await scene.wait(run.plan_id, (it) => it.state === 'done');
});

step('many: what the page shows after a lot has happened is what is so', async () => {
  const tasks = Array.from({ length: 32 }, (_, at) => [`s${at}`, `Step ${at}`, [`steps/${at}.ts`], ['front1', 'back1', 'back2', 'reviewer'][at % 4], at < 8 ? [] : [`s${at - 8 + (at % 3)}`]]);
  const plan = scene.plan('many steps', tasks);
  await visit(`#/plans/${plan}?look=graph`);
  await page.locator('.node').nth(31).waitFor();
  await page.getByRole('button', { name: 'Start', exact: true }).click();
  await page.locator('.top .state', { hasText: 'done' }).waitFor({ timeout: 90_000 });
  await page.waitForFunction(() => document.querySelectorAll('.node.good').length === 32);
  await see('32 / 32 done');
  const { usd } = scene.kapell('status', '--scope', 'plan', '--id', plan);
  await see(`$${usd.toFixed(2)}`);
});

step('actions: a task is tried again, a plan stopped, each after a question', async () => {
  await visit(`#/plans/${scene.release}/search`);
  await page.getByRole('button', { name: 'Tell it…' }).click();
  await dialog().getByRole('textbox').fill('mind the umlauts');
  await dialog().getByRole('button', { name: 'Tell it' }).click();
  await page.locator('.toast').first().waitFor();
  await page.getByRole('button', { name: 'Cancel…' }).click();
  await dialog().getByRole('button', { name: 'Leave it' }).click();
  same(state(scene.release, 'search'), 'running', 'search');
  await page.getByRole('button', { name: 'Stop…' }).click();
  await page.keyboard.press('Enter');
  await dialog().waitFor({ state: 'detached' });
  same(scene.kapell('status', '--scope', 'plan', '--id', scene.release).state, 'running', 'Enter leaves it');
  await page.getByRole('button', { name: 'Stop…' }).click();
  await dialog().getByRole('button', { name: 'Stop it' }).click();
  await page.locator('.top .state', { hasText: 'stopped' }).waitFor();
  same(scene.kapell('status', '--scope', 'plan', '--id', scene.release).state, 'stopped', 'the plan');
});

step('many: 10,000 tasks', async () => {
  const tasks = [];
  for (let id = 0; id < 10_000; id++) tasks.push([`t${id}`, `Port module ${id}`, [`src/m${Math.floor(id / 100)}/f${id}.ts`], 'back1', id < 400 ? [] : [`t${id - 100 - (id * 7) % 290}`]]);
  const big = scene.plan('ten thousand', tasks);
  await visit();
  const began = Date.now();
  await go(`#/plans/${big}`);
  await see('All 10,000 tasks', 'select');
  const took = Date.now() - began;
  check(took < 15_000, `it took ${took} ms`);
  const nodes = () => page.evaluate(() => document.querySelectorAll('*').length);
  check((await nodes()) < 4000, `${await nodes()} elements`);
  // Far away, by the small picture, is at once there.
  const map = await page.locator('.map').boundingBox();
  await page.mouse.click(map.x + map.width * 0.9, map.y + map.height / 2);
  await page.waitForFunction(() => document.querySelector('.canvas').scrollLeft > 2000 && document.querySelectorAll('.node').length > 5);
  check((await nodes()) < 4000, `${await nodes()} elements`);
  const frames = await page.evaluate(() => new Promise((done) => {
    const box = document.querySelector('.canvas'), times = [];
    let last = performance.now(), n = 0;
    const turn = (at) => { times.push(at - last); last = at; box.scrollLeft = n * 60; box.scrollTop = n * 20; if (n++ < 60) requestAnimationFrame(turn); else done(times.slice(1)); };
    requestAnimationFrame(turn);
  }));
  frames.sort((a, b) => a - b);
  check(frames[Math.floor(frames.length / 2)] < 150, `a frame takes ${frames[Math.floor(frames.length / 2)]} ms`);
  await page.getByRole('button', { name: 'List', exact: true }).click();
  await page.locator('.row.task').first().waitFor();
  check((await page.locator('.row.task').count()) < 80, 'few rows are drawn');
  await page.locator('.rows').evaluate((it) => { it.scrollTop = 1e9; });
  await see('t9999', '.rows');
  await page.getByPlaceholder('Filter by text').fill('module 7777');
  await see('1 task', '.filters');
  await page.getByRole('link', { name: /t7777/ }).click();
  await see('src/m77/f7777.ts', '.panel');
  console.log(`        opened in ${took} ms, a frame in ${Math.round(frames[Math.floor(frames.length / 2)])} ms`);
});

try {
  await scene.begin();
  await scene.play();
  await scene.places();
  server = await scene.serve();
  for (const [name, action] of steps) {
    if (process.env.ONLY && !name.startsWith(process.env.ONLY)) continue;
    const began = Date.now();
    try {
      await action();
      check(!complaints.length, `the browser complains: ${complaints.slice(0, 2).join(' | ')}`);
      passed++;
      console.log(`ok      board, ${name}  ${Date.now() - began} ms`);
    } catch (error) {
      failed++;
      console.log(`FAILED  board, ${name}: ${String(error.message).split('\n').slice(0, 12).join('\n    ')}${complaints.length ? `\n    ${complaints.slice(0, 3).join('\n    ')}` : ''}`);
      if (page && process.env.FAILURES) {
        mkdirSync(process.env.FAILURES, { recursive: true });
        await page.screenshot({ path: path.join(process.env.FAILURES, `board-${failed}.png`) }).catch(() => undefined);
      }
    }
    await leave();
  }
} catch (error) {
  failed++;
  console.log(`FAILED  board: ${error.stack}`);
} finally {
  await browser.close().catch(() => undefined);
  await scene.end();
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed ? 1 : 0);
