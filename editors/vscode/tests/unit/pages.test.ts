// What comes from the server in parts: claims of several pages, and logs.
import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import * as vscode from 'vscode';
import type { Api } from '../../src/extension';
import { KEEP } from '../../src/model/tail';
import type { Claim, Claims, ReadResult } from '../../src/model/wire';
import { begin, overview, project, registered, serve, type Call } from './begin';

const ROOT = 'file:///w/shop';
let api: Api;

before(async () => {
  api = await begin();
});

beforeEach(() => {
  const { board, server } = api.context;
  board.settle([]);
  server.state = 'stopped';
  board.settle([project(ROOT, 'p1')]);
});

/** As `status` tells them: without whose they are. */
const claim = (id: number, more: Partial<Claim> = {}): Claim => ({
  claim_id: id, pattern: `src/${id}.ts`, mode: 'exclusive', holder: 'eve', holder_kind: 'agent', since: '', expires_at: '', ...more,
});
const range = (from: number, to: number): Claim[] => Array.from({ length: to - from + 1 }, (_, i) => claim(from + i, { own: false }));
const tell = (claims: Claim[], total: number, cursor?: string): void =>
  (api.context.server as unknown as { claimsHeard: vscode.EventEmitter<Claims> }).claimsHeard
    .fire({ root: ROOT, claims, total, ...(cursor === undefined ? {} : { next_cursor: cursor }) });
const ids = (): number[] => api.context.board.claims.map(({ claim_id }) => claim_id);
const settled = (): Promise<unknown> => new Promise((done) => setTimeout(done, 0));
const ofClaims = (calls: Call[]): unknown[] => calls.filter(({ params }) => params['scope'] === 'claims').map(({ params }) => params['cursor']);

test('claims of several pages are all there, with whose they are', async () => {
  const pages: Record<string, { claims: Claim[]; next_cursor?: string }> = {
    3: { claims: [claim(4, { holder: 'a-4', holder_kind: 'attempt', task: 'web-1/2' }), claim(5, { holder: 'me', holder_kind: 'person' })], next_cursor: '5' },
    5: { claims: [claim(6, { holder: 'you', holder_kind: 'person' }), claim(7, { holder: 'me', holder_kind: 'person', pattern: 'docs/*.md' })] },
  };
  const owned = (id: number, holder: string, own: boolean) => ({ path: `src/${id}.ts`, claims: [claim(id, { holder, holder_kind: 'person', own })] });
  const calls = serve(api, ({ params }) => (params['scope'] === 'claims' ? pages[String(params['cursor'])] : overview()), {
    '/w/shop/src/5.ts': owned(5, 'me', true), '/w/shop/src/6.ts': owned(6, 'you', false),
  });
  api.context.server.state = 'stopped';
  const task = { id: 2, state: 'running', task: 'x', attempts: 1, attempt: 'a-4', worker: 'ben' };
  api.context.board.take(api.context.board.shown[0]!, {
    overview: overview(), workers: [], conductors: [],
    plans: [{ plan_id: 'web-1', name: 'web', state: 'running', done: 0, total: 1, running: 1, failed: 0, tasks: [task] }],
  });
  tell(range(1, 3), 7, '3');
  await settled();
  assert.deepEqual(ofClaims(calls), ['3', '5']);
  assert.deepEqual(ids(), [1, 2, 3, 4, 5, 6, 7]);
  const rows = (await api.trees['claims']!.getChildren())!;
  assert.deepEqual(rows.slice(3).map(({ contextValue }) => contextValue), ['claim.attempt+file', 'claim.own+file', 'claim.person+file', 'claim.own']);
  assert.match(String(rows[3]!.description), /^ben, task 2/);
  const mark = await api.decorations.provideFileDecoration(vscode.Uri.parse(`${ROOT}/src/5.ts`));
  assert.equal(mark?.badge, '●');

  // One of the first is free: what is not named stays there meanwhile.
  tell([claim(1), claim(2), claim(4, { holder: 'a-4', holder_kind: 'attempt' })], 6, '4');
  assert.deepEqual(ids(), [1, 2, 4, 5, 6, 7]);
  // All in one page.
  tell(range(1, 3), 3);
  assert.deepEqual(ids(), [1, 2, 3]);
});

test('a change beyond the first page is asked for, and not more often than once a second', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const turn = (): Promise<unknown> => new Promise((done) => setImmediate(done));
  let rest = [claim(3)];
  const calls = serve(api, ({ params }) => (params['scope'] === 'claims' ? { claims: rest } : overview()));
  api.context.server.state = 'stopped';
  // What an earlier test waits for is over.
  context.mock.timers.tick(2000);
  (api.context.board as unknown as { pages: { busy: Map<string, boolean> } }).pages.busy.clear();
  tell(range(1, 2), 3, '2');
  await turn();
  assert.deepEqual(ids(), [1, 2, 3]);
  // One went and one came: what the server names is the same, and so is their number.
  rest = [claim(4)];
  const { board } = api.context;
  const happen = (kind: string): void => (board as unknown as { add(event: object): void }).add({ seq: 1, root: ROOT, at: '', kind, text: '' });
  happen('claim.released');
  happen('claim.granted');
  await turn();
  assert.deepEqual(ofClaims(calls), ['2']);
  context.mock.timers.tick(1000);
  await turn();
  assert.deepEqual(ofClaims(calls), ['2', '2']);
  assert.deepEqual(ids(), [1, 2, 4]);
  // Nothing happened: nothing is asked.
  happen('task.state');
  context.mock.timers.tick(5000);
  await turn();
  assert.equal(ofClaims(calls).length, 2);
});

test('the end of a log is asked for as such, and then what follows', async () => {
  const asked: unknown[] = [];
  const answers: ReadResult[] = [
    { text: '', next_offset: 60_000_003, size: 60_000_003, ended: false },
    { text: 'the end\n', next_offset: 60_000_000, size: 60_000_003, ended: false },
    { text: '', next_offset: 60_000_000, size: 60_000_003, ended: false },
    { text: 'and more\n', next_offset: 60_000_009, size: 60_000_009, ended: false },
    { text: '', next_offset: 60_000_009, size: 60_000_009, ended: true },
  ];
  Object.assign(api.context.server, {
    read: async (_uri: string, offset: number, waiting: { wait_ms?: number } = {}) => {
      asked.push([offset, waiting.wait_ms !== undefined]);
      return answers[asked.length - 1];
    },
  });
  const uri = vscode.Uri.from({ scheme: 'kapell-log', path: '/a-1.log' });
  const logs = registered.providers.get('kapell-log')!;
  assert.equal(await logs.provideTextDocumentContent(uri, undefined as never), '… this is the end of a long log; 60 MB before it are left out …\nthe end\n');
  await settled();
  assert.match(String(await logs.provideTextDocumentContent(uri, undefined as never)), /left out …\nthe end\nand more\n$/);
  assert.deepEqual(asked, [[-1, false], [-KEEP, false], [60_000_000, false], [60_000_000, true], [60_000_009, false]]);
});
