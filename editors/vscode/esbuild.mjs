// Bundles the extension (dist/extension.js), or with --tests the unit tests (dist-tests/).
import { cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const tests = process.argv.includes('--tests');
const common = { bundle: true, platform: 'node', target: 'node20', format: 'cjs', logLevel: 'warning', absWorkingDir: here };

if (tests) {
  await build({
    ...common,
    entryPoints: readdirSync(path.join(here, 'tests/unit'))
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => `tests/unit/${name}`),
    outdir: 'dist-tests',
    alias: { vscode: './tests/unit/vscode-stub.cjs' },
    sourcemap: 'inline',
  });
} else {
  await build({
    ...common,
    entryPoints: ['src/extension.ts'],
    outfile: 'dist/extension.js',
    external: ['vscode'],
    minify: process.argv.includes('--minify'),
    sourcemap: !process.argv.includes('--minify'),
  });
  // The schema of plans is the contract's own; package.sh puts it beside this script.
  const schema = [path.join(here, '../../protocol/plan.schema.json'), path.join(here, 'protocol/plan.schema.json')].find(existsSync);
  mkdirSync(path.join(here, 'schemas'), { recursive: true });
  cpSync(schema, path.join(here, 'schemas/plan.schema.json'));
}
