import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { examine, Run, Unusable, versionArguments, within, type Program } from '../../src/server/program';

const base = mkdtempSync(path.join(tmpdir(), 'kapell-program-'));
const never = new AbortController().signal;

function program(name: string, script: string, args = ['lsp']): Program {
  const command = path.join(base, name);
  writeFileSync(command, `#!/bin/sh\n${script}\n`);
  chmodSync(command, 0o755);
  return { command, args, cwd: base, env: process.env };
}

function isAlive(pid: number): boolean {
  // One that nobody has asked after yet is as good as gone.
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return stdout.trim() !== '' && !stdout.trim().startsWith('Z');
}

test('a program is asked for its version in the way it is called', () => {
  assert.deepEqual(versionArguments(['lsp']), ['--version']);
  assert.deepEqual(versionArguments(['run', 'image', 'kapell', 'lsp', '--stdio']), ['run', 'image', 'kapell', '--version']);
  // Whatever this is, it does not say.
  assert.equal(versionArguments(['serve']), undefined);
});

test('what is not Kapell is told with its path', { skip: process.platform === 'win32' }, async () => {
  await examine(program('good', 'echo "kapell 0.1.0"'), 5000, never);
  const what = async (one: Program, ms = 5000): Promise<[string, string]> => {
    const error = await examine(one, ms, never).then(() => assert.fail('it passed'), (why: unknown) => why);
    assert.ok(error instanceof Unusable, String(error));
    assert.ok(error.message.includes(one.command), error.message);
    return [error.failure, error.message];
  };
  const [failure, message] = await what(program('other', 'echo "other (tools) 9.1"; echo more'));
  assert.equal(failure, 'foreign');
  assert.match(message, /is not Kapell: with --version it says “other \(tools\) 9\.1”/);
  assert.match((await what(program('mute', 'exit 0')))[1], /says nothing/);
  assert.equal((await what({ ...program('gone', ''), command: '/no/such/kapell' }))[0], 'start');
});

test('a program that hangs is ended with what it started', { skip: process.platform === 'win32' }, async () => {
  // A wrapper: what it started holds the pipe as well.
  const file = path.join(base, 'pid');
  const hangs = program('hangs', `sleep 600 & echo $! > "${file}"; wait`);
  await assert.rejects(examine(hangs, 300, never), (error) => error instanceof Unusable && error.failure === 'silent');
  const pid = Number(readFileSync(file, 'utf8'));
  for (let i = 0; i < 100 && isAlive(pid); i++) await new Promise((done) => setTimeout(done, 10));
  assert.ok(!isAlive(pid));
});

test('a start is given up at once, and an end is told', { skip: process.platform === 'win32' }, async () => {
  const controller = new AbortController();
  const examined = examine(program('hangs too', 'exec sleep 600'), 60_000, controller.signal);
  controller.abort(new Error('it is started anew'));
  await assert.rejects(examined, /started anew/);
  const run = new Run(program('dies', 'exit 7'));
  run.begin();
  await assert.rejects(run.ended, /dies ended \(7\) before it answered/);
  assert.equal(await within(Promise.resolve(1), 1000, () => new Error('late'), never), 1);
  await assert.rejects(within(new Promise(() => undefined), 10, () => new Error('late'), never), /late/);
});
