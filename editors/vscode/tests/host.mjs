// Runs the tests inside of the extension host: opens the editor in a browser and waits for results.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Bench, until } from './bench.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const bench = new Bench('host');
let failed = 0;
let passed = 0;
try {
  bench.begin({
    'src/a.rs': 'fn a() {}\n', 'src/b.rs': 'fn b() {}\n', 'src/c.rs': 'fn c() {}\n', LICENCE: 'None.\n',
    '.gitignore': '.vscode\n*.plan.json\n',
  }, `[rules]
spec_first = false
tdd = false
max_attempts = 1
[providers.hand]
kind = "command"
command = ["sh", "AGENT"]
max_parallel = 8
`);
  await bench.editor({ extensions: [path.join(here, 'host')] });
  await bench.page();
  const results = path.join(bench.base, 'host-results.json');
  await until('the results', () => existsSync(results), 240_000).catch((error) => {
    const progress = path.join(bench.base, 'host-progress.json');
    if (existsSync(progress)) for (const one of JSON.parse(readFileSync(progress, 'utf8'))) report(one);
    console.error(bench.console.filter((line) => line.includes('apell')).slice(-10).map((line) => line.slice(0, 300)).join('\n'));
    throw error;
  });
  for (const one of JSON.parse(readFileSync(results, 'utf8'))) report(one);
} catch (error) {
  failed++;
  console.log(`FAILED  host: ${error}`);
} finally {
  await bench.end();
}
console.log(`${passed} passed, ${failed} failed, 0 skipped`);
process.exit(failed > 0 ? 1 : 0);

function report({ name, ok, ms, note, error }) {
  if (ok) passed++;
  else failed++;
  console.log(`${ok ? 'ok     ' : 'FAILED '} host: ${name}  ${ms} ms${note ? `  [${note}]` : ''}${error ? `\n${error.split('\n').slice(0, 4).join('\n')}` : ''}`);
}
