// Drives the editor in a real browser as a person does, and takes the pictures of the README:
// chromium.mjs [FOLDER FOR PICTURES]. What is seen is asserted before it is photographed.
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { Bench, sleep, until } from './bench.mjs';

const out = process.argv[2];
if (out) mkdirSync(out, { recursive: true });
let passed = 0;
let failed = 0;

const FILES = {
  'src/cart.ts': `import { priceOf } from './prices';

export interface Line {
  sku: string;
  count: number;
}

/** The sum of all lines, in cents. */
export function total(lines: Line[]): number {
  return lines.reduce((sum, line) => sum + priceOf(line.sku) * line.count, 0);
}
`,
  'src/prices.ts': `const PRICES = new Map([['pen', 120], ['ink', 890]]);

export function priceOf(sku: string): number {
  return PRICES.get(sku) ?? 0;
}
`,
  'src/checkout.ts': `import { total, type Line } from './cart';

export function checkout(lines: Line[]): string {
  return (total(lines) / 100).toFixed(2);
}
`,
  'src/stock.ts': 'export const stock = new Map<string, number>();\n',
  'src/orders.ts': 'export const orders: string[] = [];\n',
  'src/mail.ts': 'export function mail(to: string): string {\n  return `to ${to}`;\n}\n',
  'src/users.ts': 'export const users: string[] = [];\n',
  'src/search.ts': 'export function search(): string[] {\n  return [];\n}\n',
  'README.md': '# Shop\n\nPens, ink and paper.\n',
};

const TOML = `[project]
max_workers = 8
[rules]
spec_first = false
tdd = false
max_attempts = 1
build = ["sh", "-c", "! grep -n 'any' src/*.ts"]

[providers.scripted]
kind = "command"
command = ["sh", "AGENT"]
max_parallel = 8

[workers.ada]
provider = "scripted"
[workers.ben]
provider = "scripted"
[workers.cleo]
provider = "scripted"
[workers.dora]
provider = "scripted"
[workers.emil]
provider = "scripted"
`;

const PLAN = {
  name: 'autumn release',
  tasks: [
    { id: 1, agent: 'ada', task: 'Round prices by the rules of each currency', files: ['src/prices.ts'], depends_on: [] },
    { id: 2, agent: 'ben', task: 'Reserve stock while a cart is open', files: ['src/stock.ts'], depends_on: [] },
    { id: 3, agent: 'cleo', task: 'Number orders without gaps', files: ['src/orders.ts'], depends_on: [] },
    { id: 4, agent: 'dora', task: 'Discounts in the cart', files: ['src/cart.ts'], depends_on: [] },
    { id: 5, agent: 'emil', task: 'Search by prefix', files: ['src/search.ts'], depends_on: [] },
    { id: 6, agent: 'ada', task: 'Send a receipt', files: ['src/mail.ts'], depends_on: [3] },
    { id: 7, agent: 'ben', task: 'Check out with discounts', files: ['src/checkout.ts'], depends_on: [4] },
    { id: 8, agent: 'cleo', task: 'Describe it all', files: ['README.md'], depends_on: [6, 7] },
  ],
};

const SCHEMES = [['dark', 'Default Dark Modern'], ['light', 'Default Light Modern']];

for (const [scheme, theme] of SCHEMES) await drive(scheme, theme);
await agents();
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed > 0 ? 1 : 0);

/** Does something, and counts it. */
async function take(part, name, page, action) {
  const began = Date.now();
  try {
    await action();
    passed++;
    console.log(`ok      chromium, ${part}: ${name}  ${Date.now() - began} ms`);
  } catch (error) {
    failed++;
    console.log(`FAILED  chromium, ${part}: ${name}: ${String(error).split('\n').slice(0, 3).join(' ')}`);
    const folder = process.env.FAILURES;
    if (page && folder) {
      mkdirSync(folder, { recursive: true });
      await page.screenshot({ path: path.join(folder, `${part}-${failed}.png`) }).catch(() => undefined);
    }
  }
}

/** An editor with its agents switched on, which the pictures are without. */
async function agents() {
  const bench = new Bench('agents');
  try {
    bench.begin({ 'src/cart.ts': FILES['src/cart.ts'] }, '');
    await bench.editor({ settings: { 'chat.disableAIFeatures': false } });
    const page = await bench.page();
    const input = page.locator('.quick-input-widget input').first();
    const row = (text) => page.locator(`.quick-input-list .monaco-list-row${text}`).first();
    // By keys: of a list that has only just come, a row may lie below something else.
    const choose = async (text, shown) => {
      await input.fill(text);
      await row(`.focused:has-text("${shown}")`).waitFor({ timeout: 15_000 });
      await page.keyboard.press('Enter');
    };
    const servers = async (text) => {
      await page.keyboard.press('F1');
      await choose('>MCP: List Servers', 'MCP: List Servers');
      await row(`:has-text("Kapell"):has-text("${text}")`).waitFor({ timeout: 15_000 });
    };
    await take('agents', 'the MCP server is among those of the editor, and starts', page, async () => {
      await page.locator('.activitybar [aria-label^="Kapell"]').first().waitFor({ timeout: 60_000 });
      await until('the server in the list', async () => {
        await page.keyboard.press('Escape');
        return servers('Stopped').then(() => true, () => false);
      });
      await choose('Kapell', 'Kapell');
      await choose('Start Server', 'Start Server');
      await until('it runs', async () => {
        await page.keyboard.press('Escape');
        return servers('Running').then(() => true, () => false);
      });
    });
  } catch (error) {
    failed++;
    console.log(`FAILED  chromium, agents: ${error}`);
  } finally {
    await bench.end();
  }
}

async function drive(scheme, theme) {
  const bench = new Bench(scheme);
  let page;
  const step = (name, action) => take(scheme, name, page, action);
  try {
    bench.begin(FILES, TOML);
    bench.write('draft.plan.json', '{\n  "tasks": [\n    {"id": 1, "agent": "ada", "task": "x", "files": ["src/a.ts"], "depends_on": [7]}\n  ]\n}\n');
    // A line for each task, so that all are in the picture.
    const lines = PLAN.tasks.map((task) => `    ${JSON.stringify(task)}`).join(',\n');
    bench.write('autumn.plan.json', `{\n  "name": ${JSON.stringify(PLAN.name)},\n  "tasks": [\n${lines}\n  ]\n}\n`);
    bench.first(5, `echo "reading src/search.ts and its callers"
echo "a sorted list and a binary search will do: prefixes are a range"
echo "writing src/search.ts"
`);
    const { plan_id: plan } = bench.kapell('plan', 'autumn.plan.json');
    await bench.editor({
      settings: {
        'workbench.colorTheme': theme, 'window.autoDetectColorScheme': false, 'editor.fontSize': 14,
        'explorer.openEditors.visible': 0, 'workbench.layoutControl.enabled': false, 'editor.stickyScroll.enabled': false,
      },
    });
    page = await bench.page({ scheme, width: 1400, height: 860 });
    await steps(bench, page, plan, step, scheme);
  } catch (error) {
    failed++;
    console.log(`FAILED  chromium, ${scheme}: ${error}`);
  } finally {
    await bench.end();
  }
}

async function steps(bench, page, plan, step, scheme) {
  const see = (selector, ms = 20_000) => page.locator(selector).first().waitFor({ state: 'visible', timeout: ms });
  const gone = (selector, ms = 20_000) => page.locator(selector).first().waitFor({ state: 'detached', timeout: ms });
  const row = (text) => page.locator(`.pane-body .monaco-list-row:has-text("${text}")`).first();
  const status = (id, text) => page.locator(`.statusbar-item[id*="${id}"]`).filter({ hasText: text }).first().waitFor({ timeout: 20_000 });
  const pick = async (text, input) => {
    await see('.quick-input-widget input');
    await page.locator('.quick-input-widget input').first().fill(input ?? text);
    const found = page.locator(`.quick-input-list .monaco-list-row:has-text("${text}")`).first();
    await found.waitFor({ timeout: 15_000 });
    await found.click();
  };
  const palette = async (text) => {
    await page.keyboard.press('F1');
    await pick(text, `>${text}`);
  };
  const open = async (file) => {
    await page.keyboard.press('Control+p');
    await pick(file);
    await see(`.tab[data-resource-name="${file}"]`);
  };
  const photograph = async (name) => {
    if (!out) return;
    // Animations are at their end, and no pointer hovers over anything.
    await page.mouse.move(700, 640);
    await sleep(700);
    await page.screenshot({ path: path.join(out, `${name}-${scheme}.png`) });
  };
  const taskState = (id) => bench.kapell('status', '--scope', 'plan', '--id', plan).tasks.find((task) => task.id === id)?.state;

  await step('the workbench has our icon', async () => {
    await see('.monaco-workbench .activitybar', 60_000);
    await see('.activitybar [aria-label^="Kapell"]', 30_000);
  });

  await step('a plan of eight tasks runs in the view', async () => {
    await page.locator('.activitybar [aria-label^="Kapell"]').first().click();
    // Room for the texts of the tasks.
    const side = await page.locator('.part.sidebar').first().boundingBox();
    await page.mouse.move(side.x + side.width, 600);
    await page.mouse.down();
    await page.mouse.move(side.x + side.width + 130, 600, { steps: 5 });
    await page.mouse.up();
    await row('autumn release').waitFor({ timeout: 30_000 });
    await row('autumn release').hover();
    await page.locator('.pane-body .monaco-list-row:has-text("autumn release") .action-label[aria-label^="Dispatch"]').first().click();
    await until('five tasks to run', () => bench.kapell('status').plans[0].running === 5);
    bench.work(1, 'echo "export const rounded = true;" >> src/prices.ts');
    bench.work(3, 'sleep 0.2; echo "export const next = (): number => orders.length + 1;" >> src/orders.ts');
    await until('tasks 1 and 3 to be done', () => taskState(1) === 'done' && taskState(3) === 'done');
    await row('Reserve stock').waitFor();
    await page.locator('.pane-body .monaco-list-row:has-text("Describe it all")').waitFor();
    await page.locator('.pane-body .monaco-list-row:has-text("autumn release"):has-text("2 of 8")').waitFor();
    await status('kapell.overview', '2/8');
    await page.locator('.pane-body .monaco-list-row:has-text("Send a receipt"):has-text("by ada")').waitFor();
  });

  await step('the log of an attempt follows it', async () => {
    await row('Search by prefix').click();
    await row('Search by prefix').hover();
    await page.locator('.pane-body .monaco-list-row:has-text("Search by prefix") .action-label[aria-label^="Open Log"]').first().click();
    await see('.view-line:has-text("starting")');
    await photograph('plan');
  });

  await step('a held file says by whom: squiggle, lens, status bar, explorer', async () => {
    await open('cart.ts');
    await see('.codelens-decoration:has-text("dora")');
    await status('kapell.owner', 'dora');
    await see('.squiggly-info');
    await page.locator('.activitybar [aria-label^="Explorer"]').first().click();
    await see('.explorer-viewlet [aria-label*="held by dora"]');
    await photograph('owned');
  });

  await step('typing in it warns once, with Take Over and Undo', async () => {
    await page.locator('.monaco-editor .view-line:has-text("The sum of all lines")').first().click();
    await page.keyboard.press('End');
    await page.keyboard.type(' // gross');
    await see('.notifications-toasts :text("src/cart.ts is held by dora")');
    await see('.squiggly-warning');
    await photograph('conflict');
    await page.keyboard.type(' or net');
    await sleep(300);
    const toasts = await page.locator('.notifications-toasts .notification-list-item:has-text("is held by dora")').count();
    if (toasts !== 1) throw new Error(`${toasts} warnings`);
  });

  await step('Undo brings the file back', async () => {
    await page.locator('.notifications-toasts .monaco-button:has-text("Undo")').first().click();
    await gone('.view-line:has-text("gross")');
    await see('.squiggly-info');
  });

  await step('Take Over asks for a reason, and the file is yours', async () => {
    await palette('Kapell: Take This File Over');
    await see('.quick-input-widget:has-text("Take src/cart.ts over")');
    await page.keyboard.type('the release is today');
    await page.keyboard.press('Enter');
    await status('kapell.owner', 'yours');
    const claim = bench.kapell('status', '--scope', 'claims').claims.find((one) => one.pattern === 'src/cart.ts');
    if (claim?.holder_kind !== 'person') throw new Error(JSON.stringify(claim));
    await palette('Kapell: Release This File');
    // Its task waited for it, and goes on.
    await status('kapell.owner', 'dora');
  });

  await step('what needs you has a view, a badge and a notification', async () => {
    bench.work(2, 'echo "export const x: any = 1;" >> src/stock.ts');
    await until('task 2 to fail', () => taskState(2) === 'failed');
    await page.locator('.activitybar [aria-label^="Kapell"]').first().click();
    await status('kapell.overview', 'you');
    await see('.activitybar .action-item:has([aria-label^="Kapell"]) .badge .badge-content');
  });

  await step('its verdict is a document with the evidence', async () => {
    await palette('Notifications: Clear All Notifications');
    await page.locator('.pane-body .monaco-list-row:has-text("Reserve stock")').first().click();
    await see('.view-line:has-text("rejected")');
    await see('.view-line:has-text("build")');
    await photograph('verdict');
  });

  await step('the changes of an attempt are a diff', async () => {
    await palette('Kapell: Show Changes');
    await pick('Round prices');
    await see('.monaco-diff-editor .view-line:has-text("rounded")');
    await photograph('diff');
  });

  await step('a plan file is checked, and can be dispatched by a lens', async () => {
    await open('draft.plan.json');
    await see('.squiggly-error');
    await see('.codelens-decoration:has-text("Check")');
    await see('.codelens-decoration:has-text("Dispatch")');
    // The lenses of the plan that runs say how far it is, and go with it.
    await open('autumn.plan.json');
    await see('.codelens-decoration:has-text("running by emil")');
    await photograph('file');
    bench.work(5, 'echo "// by prefix" >> src/search.ts');
    await gone('.codelens-decoration:has-text("running by emil")');
  });

  await step('the walkthrough opens', async () => {
    await palette('Kapell: Get Started');
    await see('.gettingStartedContainer :text("See who owns what")');
  });
}
