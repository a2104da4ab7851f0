import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { concernOf, needsOf } from '../../src/model/needs';
import { parsePatch } from '../../src/model/patch';
import { matcher } from '../../src/model/pattern';
import { ago, holderOf, initials, sentence } from '../../src/model/text';
import type { Event, PlanStatus } from '../../src/model/wire';
import { locate, type Where } from '../../src/server/locate';

test('what needs a person is told from what finished', () => {
  const event = (kind: string, data: Record<string, unknown>): Event => ({ seq: 1, at: '', kind, text: '', data });
  const table: [string, Record<string, unknown>, ReturnType<typeof concernOf>][] = [
    ['attempt.finished', { outcome: 'violation' }, 'needs-you'],
    ['attempt.finished', { outcome: 'failed' }, 'needs-you'],
    ['attempt.finished', { outcome: 'submitted' }, undefined],
    ['attempt.finished', { outcome: 'rate-limited' }, undefined],
    ['task.state', { to: 'failed' }, 'needs-you'],
    ['task.state', { to: 'blocked' }, 'needs-you'],
    ['task.state', { to: 'rejected' }, undefined],
    ['task.state', { to: 'done' }, 'finished'],
    ['plan.state', { state: 'done' }, 'finished'],
    ['plan.state', { state: 'failed' }, 'needs-you'],
    ['approval.asked', {}, 'needs-you'],
    ['claim.granted', {}, undefined],
  ];
  for (const [kind, data, want] of table) assert.equal(concernOf(event(kind, data)), want, `${kind} ${JSON.stringify(data)}`);
});

test('the tasks that need a person, with why', () => {
  const plan = {
    plan_id: 'p', name: 'p', state: 'running', done: 0, total: 4, running: 0, failed: 1,
    tasks: [
      { id: 1, state: 'failed', task: 'a', attempts: 3, reason: 'three tries' },
      { id: 2, state: 'blocked', task: 'b', attempts: 0 },
      { id: 3, state: 'waiting', task: 'c', attempts: 0, reason: 'approval: deploy' },
      { id: 4, state: 'waiting', task: 'd', attempts: 0, reason: 'dependency: task 1' },
    ],
  } satisfies PlanStatus;
  assert.deepEqual(needsOf([plan]).map(({ task, why }) => [task.id, why]), [
    [1, 'three tries'], [2, 'blocked'], [3, 'approval: deploy'],
  ]);
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
  ];
  for (const [pattern, file, want] of table) assert.equal(matcher(pattern)(file), want, `${pattern} ${file}`);
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
