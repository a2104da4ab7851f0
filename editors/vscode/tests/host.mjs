// Runs the tests inside of the extension host: opens the editor in a browser and waits for results.
// host.mjs [tests|steering|several|untrusted …]
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Bench, until } from './bench.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
let failed = 0;
let passed = 0;

const FILES = {
  'src/a.rs': 'fn a() {}\n', 'src/b.rs': 'fn b() {}\n', 'src/c.rs': 'fn c() {}\n', LICENCE: 'None.\n',
  '.gitignore': '.vscode\n*.plan.json\n',
};
const TOML = `[rules]
spec_first = false
tdd = false
max_attempts = 1
[providers.hand]
kind = "command"
command = ["sh", "AGENT"]
max_parallel = 8
`;
const PIPELINE = `[pipelines.feature]
stages = [
  { name = "build", target = "hand", task = "{request}" },
  { name = "deploy", triggers_on = ["build"], approval = true, command = ["true"] },
  { name = "tell", triggers_on = ["build"], approval = true, command = ["true"] },
]
`;

/** What each file of tests is run in. */
const SUITES = {
  tests: { begin: (bench) => bench.begin(FILES, TOML), drive: sayYes },
  steering: {
    begin: (bench) => bench.begin({ ...FILES, 'src/[id]/page.ts': 'export {};\n', 'docs/a.md': 'A.\n' }, `${TOML}${PIPELINE}`),
    drive: sayYes,
  },
  several: {
    begin: (bench) => {
      bench.begin(FILES, TOML);
      bench.begin({ ...FILES, 'web/src/a.rs': 'fn web() {}\n' }, TOML, path.join(bench.base, 'other'));
      bench.write('src/a.rs', 'fn a() {}\n', path.join(bench.base, 'plain'));
      const workspace = path.join(bench.base, 'all.code-workspace');
      const folders = ['shop', 'other/web', 'plain'].map((name) => ({ path: name }));
      writeFileSync(workspace, JSON.stringify({ folders }));
      return { page: { workspace } };
    },
    drive: sayYes,
  },
  untrusted: {
    begin: (bench) => {
      bench.begin(FILES, TOML);
      bench.write('bad.plan.json', '{"tasks": [{"id": 1, "task": "x", "filess": []}]}');
      // The folder names a program, and that leaves a trace.
      const program = path.join(bench.base, 'program', 'kapell');
      mkdirSync(path.dirname(program));
      writeFileSync(program, `#!/bin/sh\n: > "${bench.base}/started"\nexec "$KAPELL" "$@"\n`, { mode: 0o755 });
      bench.write('.vscode/settings.json', JSON.stringify({ 'kapell.server.path': program }));
      return { editor: { untrusted: true } };
    },
    // What the person sees and does.
    drive: async (bench, page) => {
      await until('it to ask', () => existsSync(path.join(bench.base, 'trust-me')), 120_000);
      await page.keyboard.press('Escape');
      await page.locator('.activitybar [aria-label^="Kapell"]').first().click();
      await page.locator('.pane-body :text("it waits until you trust this folder")').first().waitFor({ timeout: 20_000 });
      if (process.env.FAILURES) await page.screenshot({ path: path.join(process.env.FAILURES, 'untrusted.png') });
      await page.locator('.pane-body .monaco-button:has-text("Manage Workspace Trust")').first().click();
      await page.locator('.workspace-trust-editor .monaco-button:has-text("Trust")').first().click();
    },
  },
};

for (const name of process.argv.length > 2 ? process.argv.slice(2) : Object.keys(SUITES)) await runSuite(name, SUITES[name]);
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed > 0 ? 1 : 0);

/** Answers what is asked in dialogs, and writes down what it was, until the browser is closed. */
async function sayYes(bench, page) {
  const dialog = page.locator('.monaco-dialog-box');
  const results = path.join(bench.base, 'host-results.json');
  while (!existsSync(results)) {
    const isThere = await dialog.waitFor({ timeout: 500 }).then(() => true, () => false);
    if (!isThere) continue;
    appendFileSync(path.join(bench.base, 'asked'), `${(await dialog.innerText()).replace(/\n+/g, ' | ')}\n`);
    await dialog.locator('.monaco-button:not(:text-is("Cancel"))').first().click();
    await dialog.waitFor({ state: 'hidden' });
  }
}

async function runSuite(name, suite) {
  const bench = new Bench('host');
  bench.env.KAPELL_TEST_SUITE = name;
  try {
    const options = suite.begin(bench) ?? {};
    await bench.editor({ extensions: [path.join(here, 'host')], ...options.editor });
    const page = await bench.page(options.page);
    const results = path.join(bench.base, 'host-results.json');
    const come = until('the results', () => existsSync(results), 240_000);
    await Promise.all([come, suite.drive?.(bench, page)]).catch((error) => {
      const progress = path.join(bench.base, 'host-progress.json');
      if (existsSync(progress)) for (const one of JSON.parse(readFileSync(progress, 'utf8'))) report(name, one);
      console.error(bench.console.filter((line) => line.includes('apell')).slice(-10).map((line) => line.slice(0, 300)).join('\n'));
      throw error;
    });
    for (const one of JSON.parse(readFileSync(results, 'utf8'))) report(name, one);
  } catch (error) {
    failed++;
    console.log(`FAILED  host, ${name}: ${error}`);
  } finally {
    await bench.end();
  }
}

function report(suite, { name, ok, ms, note, error }) {
  if (ok) passed++;
  else failed++;
  const where = suite === 'tests' ? 'host' : `host, ${suite}`;
  console.log(`${ok ? 'ok     ' : 'FAILED '} ${where}: ${name}  ${ms} ms${note ? `  [${note}]` : ''}${error ? `\n${error.split('\n').slice(0, 4).join('\n')}` : ''}`);
}
