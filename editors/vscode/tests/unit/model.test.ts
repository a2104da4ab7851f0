import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { concernOf, keyOf, nameOfNeed, needsOf, warningsOf, wordsOf } from '../../src/model/needs';
import { parsePatch } from '../../src/model/patch';
import { matcher, nameOfPattern } from '../../src/model/pattern';
import { KEEP, MOST, Tail, whereToBegin } from '../../src/model/tail';
import { ago, bytes, holderOf, initials, quotePattern, sentence, splitPatterns, standing } from '../../src/model/text';
import type { Event, PlanStatus, TaskLine } from '../../src/model/wire';
import { locate, type Where } from '../../src/server/locate';

test('what needs a person is told from what finished', () => {
  const event = (kind: string, data: Record<string, unknown>): Event => ({ seq: 1, at: '', kind, text: '', data });
  const table: [string, Record<string, unknown>, ReturnType<typeof concernOf>][] = [
    // Kapell tries again by itself; what it gives up is a task that failed.
    ['attempt.finished', { outcome: 'violation' }, undefined],
    ['attempt.finished', { outcome: 'failed' }, undefined],
    ['attempt.outcome', { outcome: 'violation' }, undefined],
    ['task.state', { to: 'failed' }, 'needs-you'],
    // What waits for a failed task is told with that one.
    ['task.state', { to: 'blocked' }, undefined],
    ['task.state', { to: 'rejected' }, undefined],
    ['task.state', { to: 'done' }, 'finished'],
    ['stage.state', { to: 'approval' }, 'needs-you'],
    ['stage.state', { to: 'failed' }, 'needs-you'],
    ['stage.state', { to: 'done' }, undefined],
    ['plan.state', { state: 'done' }, 'finished'],
    ['plan.state', { state: 'failed' }, 'needs-you'],
    ['plan.state', { state: 'paused' }, undefined],
    ['claim.granted', {}, undefined],
  ];
  for (const [kind, data, want] of table) assert.equal(concernOf(event(kind, data)), want, `${kind} ${JSON.stringify(data)}`);
});

const plan = (id: string, state: string, tasks: TaskLine[] = [], reason?: string): PlanStatus => ({
  plan_id: id, name: id, state, done: 0, total: tasks.length, running: 0, failed: 0, tasks,
  ...(reason === undefined ? {} : { reason }),
});

test('one decision is one need: a failed task, and not what waits for it', () => {
  const tasks = [
    { id: 1, state: 'failed', task: 'a', attempts: 3, reason: 'three tries' },
    { id: 2, state: 'blocked', task: 'b', attempts: 0, reason: 'task 1 is not done', depends_on: [1] },
    { id: 3, state: 'blocked', task: 'c', attempts: 0, reason: 'task 2 is not done', depends_on: [2] },
    { id: 4, state: 'cancelled', task: 'd', attempts: 0 },
    { id: 5, state: 'blocked', task: 'e', attempts: 0, reason: 'task 4 is not done', depends_on: [4] },
    { id: 6, state: 'waiting', task: 'f', attempts: 0, reason: 'dependency: task 1' },
  ];
  assert.deepEqual(needsOf([plan('p', 'failed', tasks, 'failed: 1')]).map(({ key, why }) => [key, why]), [
    ['p/1', 'three tries'], ['p/5', 'task 4 is not done'],
  ]);
});

test('stages that wait for a person are needs, and so is a plan that is held up', () => {
  const why = 'approval: stage deploy waits for a person: kapell pipeline approve web-1 deploy';
  const paused = plan('web-1', 'paused', [{ id: 'build', state: 'done', task: 'a', attempts: 1 }], why);
  const stages = ['deploy', 'tell'].map((stage) => ({ run: 'web-1', stage }));
  const needs = needsOf([paused, plan('by-hand', 'paused')], stages);
  assert.deepEqual(needs.map((need) => [need.kind, need.key, nameOfNeed(need)]), [
    ['stage', 'web-1#deploy', 'web-1, stage deploy'], ['stage', 'web-1#tell', 'web-1, stage tell'],
  ]);
  // Where the stages are not known the plan says it.
  assert.deepEqual(needsOf([paused]).map((need) => [need.kind, need.why]), [['plan', why]]);
  assert.deepEqual(needsOf([plan('x', 'failed', [], 'no worker')]).map(({ why: text }) => text), ['no worker']);
  const event: Event = { seq: 1, at: '', kind: 'stage.state', plan_id: 'web-1', text: '', data: { stage: 'deploy', to: 'approval' } };
  assert.equal(keyOf(event), needs[0]?.key);
  // What the server warns of is told once.
  const more = ['the disk is nearly full', 'plan web-1: nobody runs it', `plan web-12: ${why}`];
  assert.deepEqual(warningsOf([`plan web-1: ${why}`, `plan web-1 is paused: ${why}`, ...more], needs), more);
  const held = needsOf([plan('x', 'failed', [], 'no worker'), plan('y', 'running', [{ id: 1, state: 'failed', task: 'a', attempts: 1 }])]);
  const others = ['plan x: nobody runs it', 'plan y: nobody runs it', 'task y/12 waits'];
  assert.deepEqual(warningsOf(['plan x: no worker', 'task y/1 waits for you', ...others], held), others);
});

test('needs are counted by what they are', () => {
  const tasks = [
    { id: 1, state: 'failed', task: 'a', attempts: 3 }, { id: 2, state: 'failed', task: 'b', attempts: 3 },
    { id: 3, state: 'blocked', task: 'c', attempts: 0 },
  ];
  const needs = needsOf([plan('web-1', 'paused', tasks), plan('x', 'failed', [], 'no worker')], [{ run: 'web-1', stage: 'deploy' }]);
  assert.equal(wordsOf(needs), '1 stage to approve, 2 failed tasks, 1 blocked task, 1 plan that is held up');
  assert.equal(wordsOf([]), '');
});

test('what is at work, paused, failed, blocked is told apart, by what the server counts', () => {
  const line = (id: number, more: object = {}) => ({ id, state: 'running', task: 'a', attempts: 1, ...more });
  const at = (more: object): string => standing({ ...plan('p', 'running'), ...more }).join(', ');
  assert.equal(at({}), '');
  assert.equal(at({ running: 2, tasks: [line(1), line(2, { paused: true })] }), '1 at work, 1 paused');
  assert.equal(at({ running: 1, tasks: [line(1, { paused: true })] }), '1 paused');
  // Its tasks may be more than are known here.
  assert.equal(at({ failed: 7, blocked: 5 }), '2 failed, 5 blocked');
  assert.equal(at({ failed: 2 }), '2 failed');
  assert.equal(at({ position: 3 }), 'place 3 in the queue');
});

test('patterns own what the contract says', () => {
  const table: [string, string, boolean][] = [
    ['src/db', 'src/db', true],
    ['src/db', 'src/db/a.rs', true],
    ['src/db', 'src/dba.rs', false],
    ['docs/', 'docs/x/y.md', true],
    ['*.md', 'README.md', true],
    ['*.md', 'docs/README.md', false],
    ['src/**/*.rs', 'src/a.rs', true],
    ['src/**/*.rs', 'src/a/b/c.rs', true],
    ['src/**', 'src/a/b.txt', true],
    ['**/test_?.py', 'x/test_1.py', true],
    ['**/test_?.py', 'test_12.py', false],
    ['a.{ts,tsx}', 'a.tsx', true],
    ['a.{ts,tsx}', 'a.js', false],
    ['[ab].c', 'b.c', true],
    ['[!ab].c', 'b.c', false],
    ['[!ab].c', 'x.c', true],
    ['a+b(1).rs', 'a+b(1).rs', true],
    ['gen*/', 'generated/x.rs', true],
    ['naïve*.md', 'naïve-1.md', true],
    ['a[', 'a[', true],
    // As the server quotes what would be a wildcard in a name.
    ['src/[[]id[]]/page.ts', 'src/[id]/page.ts', true],
    ['src/[[]id[]]/page.ts', 'src/i/page.ts', false],
    ['src/[[]id[]]', 'src/[id]/page.ts', true],
    ['src/[[]...all[]]/[*].ts', 'src/[...all]/*.ts', true],
    ['src/[[]id[]]/**', 'src/[id]/a/b.ts', true],
    ['x[]a].c', 'x].c', true],
    ['x[!]a].c', 'xb.c', true],
  ];
  for (const [pattern, file, want] of table) assert.equal(matcher(pattern)(file), want, `${pattern} ${file}`);
});

test('a pattern that quotes a name says that name', () => {
  assert.equal(nameOfPattern('src/a.ts'), 'src/a.ts');
  assert.equal(nameOfPattern('src/[[]id[]]/[{]a[}][*].ts'), 'src/[id]/{a}*.ts');
  for (const pattern of ['src/*.ts', 'src/[[]id[]]/*', '[ab].c', 'a.{ts,js}']) assert.equal(nameOfPattern(pattern), undefined, pattern);
});

test('patterns are typed with blanks between them, and in quotes where they have some', () => {
  assert.deepEqual(splitPatterns('  src/a.ts "src/sp ace é.ts"\tdocs/ '), ['src/a.ts', 'src/sp ace é.ts', 'docs/']);
  for (const name of ['src/a.ts', 'src/sp ace é.ts', 'src/[[]id[]].ts']) assert.deepEqual(splitPatterns(quotePattern(name)), [name]);
  assert.deepEqual(splitPatterns(' "" '), []);
});

test('of a long log the end is kept, and how much is left out is told', () => {
  assert.equal(whereToBegin(MOST), 0);
  const short = new Tail();
  short.add({ text: 'first\n', size: 6 });
  short.add({ text: '', size: 6 });
  assert.equal(short.text, 'first\n');
  // The server left the line out in which its answer would have begun.
  const long = new Tail(whereToBegin(60_000_000 + KEEP));
  long.add({ text: 'whole\n', size: 60_000_000 + KEEP });
  long.add({ text: 'more\n', size: 60_000_005 + KEEP });
  assert.equal(long.text, '… this is the end of a long log; 60 MB before it are left out …\nwhole\nmore\n');
  const grown = new Tail();
  const line = `${'é'.repeat(499)}${'x'.repeat(500)}\n`;
  let size = 0;
  for (let i = 0; i < MOST / 1000 + 10; i++) grown.add({ text: line, size: (size += Buffer.byteLength(line)) });
  assert.ok(grown.text.length < MOST && grown.text.length >= KEEP - 1000, String(grown.text.length));
  const [head, ...rest] = grown.text.split('\n');
  assert.equal(head, `… this is the end of a long log; ${bytes(size - Buffer.byteLength(rest.join('\n')))} before it are left out …`);
  assert.equal(`${rest[0]}\n`, line);
});

test('numbers of bytes are told as people read them', () => {
  assert.deepEqual([1, 812, 34_400, 999_400, 2_600_000, 61_000_000].map(bytes), ['1 byte', '812 bytes', '34 KB', '999 KB', '3 MB', '61 MB']);
});

test('a diff names its files', () => {
  const patch = [
    'diff --git a/src/a.rs b/src/a.rs', 'index 1..2 100644', '--- a/src/a.rs', '+++ b/src/a.rs',
    '@@ -1,2 +1,3 @@', ' fn a() {}', '--- a/fake', '+++ b/fake', '+more', '\\ No newline at end of file',
    'diff --git a/new.md b/new.md', 'new file mode 100644', '--- /dev/null', '+++ b/new.md', '@@ -0,0 +1 @@', '+hello',
    'diff --git a/old.md b/old.md', 'deleted file mode 100644', '--- a/old.md', '+++ /dev/null', '@@ -1 +0,0 @@', '-hello',
    'diff --git a/x b/y', 'similarity index 100%', 'rename from x', 'rename to y',
    'diff --git a/p.png b/p.png', 'Binary files a/p.png and b/p.png differ',
    'diff --git "a/n\\303\\244.md" "b/n\\303\\244.md"', '--- "a/n\\303\\244.md"', '+++ "b/n\\303\\244.md"', '@@ -1 +1 @@', '-a', '+b',
    '',
  ].join('\n');
  assert.deepEqual(parsePatch(patch).map(({ path: file, kind, binary, oldPath }) => [file, kind, binary, oldPath]), [
    ['src/a.rs', 'changed', false, undefined],
    ['new.md', 'added', false, undefined],
    ['old.md', 'deleted', false, undefined],
    ['y', 'renamed', false, 'x'],
    ['p.png', 'changed', true, undefined],
    ['nä.md', 'changed', false, undefined],
  ]);
  assert.deepEqual(parsePatch(''), []);
  assert.deepEqual(parsePatch('no diff at all'), []);
});

test('errors are sentences with their hint', () => {
  assert.equal(sentence({ message: 'there is no plan x', data: { hint: 'status shows the plans' } }),
    'there is no plan x (status shows the plans)');
  assert.equal(sentence(new Error('two\nlines')), 'two lines');
  assert.equal(sentence('text'), 'text');
  assert.equal(sentence(undefined), 'undefined');
});

test('holders, initials, ages', () => {
  assert.equal(holderOf({ holder: 'a-1', worker: 'ada', task: 'p/2' }), 'ada (task p/2)');
  assert.equal(holderOf({ holder: 'ann', reason: 'schema' }), 'ann (schema)');
  assert.equal(holderOf({ holder: 'ann' }), 'ann');
  assert.equal(initials('ada'), 'AD');
  assert.equal(initials('arch_prod'), 'AP');
  assert.equal(initials('a-qy8dv9nbcs'), 'QY');
  assert.equal(initials('…'), '?');
  const now = Date.parse('2026-01-02T00:00:00Z');
  assert.equal(ago('2026-01-01T23:59:50Z', now), 'just now');
  assert.equal(ago('2026-01-01T23:55:00Z', now), '5 min');
  assert.equal(ago('2026-01-01T21:00:00Z', now), '3 h');
  assert.equal(ago('2025-12-30T00:00:00Z', now), '3 d');
  assert.equal(ago(undefined, now), '');
});

test('the server is found by setting, then bundled, then on the PATH', () => {
  const base = mkdtempSync(path.join(tmpdir(), 'kapell-locate-'));
  const program = (name: string): string => {
    const file = path.join(base, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, '#!/bin/sh\n');
    chmodSync(file, 0o755);
    return file;
  };
  const where = (more: Partial<Where>): Where => ({
    setting: null, extension: path.join(base, 'ext'), path: path.join(base, 'bin'), platform: 'linux', home: base, ...more,
  });
  assert.equal(locate(where({})), 'kapell is not on the PATH');
  const onPath = program('bin/kapell');
  assert.deepEqual(locate(where({})), { program: onPath, by: 'path' });
  const bundled = program('ext/server/kapell');
  assert.deepEqual(locate(where({})), { program: bundled, by: 'bundled' });
  const set = program('my/kapell');
  assert.deepEqual(locate(where({ setting: set })), { program: set, by: 'setting' });
  assert.deepEqual(locate(where({ setting: '~/my/kapell' })), { program: set, by: 'setting' });
  assert.deepEqual(locate(where({ setting: 'kapell' })), { program: onPath, by: 'setting' });
  // What was set and is wrong is told, not passed over.
  assert.match(String(locate(where({ setting: '/no/such' }))), /names \/no\/such, which is no program/);
  assert.match(String(locate(where({ setting: base }))), /is no program/);
  assert.match(String(locate(where({ platform: 'win32', path: '' , extension: '/none' }))), /kapell\.exe/);
});
