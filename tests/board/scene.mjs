// A project to look at: plans in every state, scripted workers, claims of people, environments with services, money.
// Everything lies in a folder of its own, listens on the loopback interface, and is ended by the process that began it.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until something is true, and gives it. */
export async function until(what, condition, patience = 30_000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await sleep(50);
  }
}

export function freePort() {
  return new Promise((done, fail) => {
    const server = createServer();
    server.on('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

// What a worker does is told by the name of its task, and by files that the test writes beside the project.
const AGENT = String.raw`
import json, os, sys, time
base = sys.argv[1]
say = lambda **fields: print(json.dumps(fields), flush=True)
task, files = os.environ["KAPELL_TASK"], json.loads(os.environ["KAPELL_FILES"])
again = "This is try" in open(os.environ["KAPELL_PROMPT_FILE"]).read()
play = json.load(open(base + "/play.json")).get(task, {})
if not files:
    say(kapell="result", text="looked at it")
    sys.exit()
for line in play.get("says", ["reading " + files[0], "writing it"]):
    say(kapell="progress", text=line)
    time.sleep(play.get("pause", 0.05))
say(kapell="usage", input_tokens=play.get("tokens", 8200), output_tokens=940, usd=play.get("usd", 0.18))
print(play.get("prints", "  2 tests passed"), flush=True)
number = 0
while play.get("hold") and not os.path.exists(base + "/go/" + task):
    time.sleep(0.1)
    extra = base + "/more/" + task
    if os.path.exists(extra) and number < os.path.getsize(extra):
        print(open(extra).read()[number:].rstrip("\n"), flush=True)
        number = os.path.getsize(extra)
path = files[0].rstrip("/")
if path.endswith("/**") or "." not in os.path.basename(path):
    path = path.replace("/**", "") + "/index.ts"
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
text = open(path).read() if os.path.exists(path) else ""
lines = text.splitlines()
lines = lines[:2] + ["// " + task + ": " + play.get("word", "rounded by the rules of each currency")] + [line.replace("0", "zero") for line in lines[2:]] + ["export const " + task.replace("-", "_") + " = true;"]
open(path, "w").write("\n".join(lines) + "\n")
if play.get("strays") and not again:
    open(play["strays"], "a").write("// tidied up on the way\n")
say(kapell="result", text=play.get("result", "Done: " + path + " is as the task wants it."))
`;

const SERVER = `
import http.server, sys
port = int(sys.argv[1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *rest):
        pass
print("listening on", port, flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
`;

const CONFIG = `
[project]
max_workers = 8
max_conductors = 6
[rules]
spec_first = false
tdd = false
max_attempts = 2
build = ["sh", "-c", "! grep -rn 'TODO' src"]
[failover]
chain = ["claude", "codex"]
[providers.claude]
kind = "command"
command = COMMAND
max_parallel = 6
budget = { usd_per_month = 60.0, usd_per_day = 6.0 }
[providers.codex]
kind = "command"
command = COMMAND
max_parallel = 6
budget = { usd_per_month = 40.0 }
[workers.front1]
provider = "claude"
groups = ["storefront"]
[workers.front2]
provider = "claude"
groups = ["storefront"]
[workers.back1]
provider = "codex"
groups = ["backend"]
[workers.back2]
provider = "codex"
groups = ["backend"]
[workers.back3]
provider = "codex"
groups = ["backend"]
[workers.reviewer]
provider = "claude"
groups = ["review"]
[workers.arch_prod]
provider = "claude"
groups = ["review"]
protected = true
[pipelines.ship]
stages = [
  { name = "check", target = "storefront", task = "{request}" },
  { name = "deploy", triggers_on = ["check"], approval = true, command = ["true"] },
]
[environments]
names = ["dev1", "dev2", "dev3"]
base_port = PORT
subs = ["dev", "qa", "staging"]
launch = ["python3", "server.py", "{port}"]
health = "http://127.0.0.1:{port}/"
`;

const FILES = {
  'src/cart/lines.ts': "import { priceOf } from '../prices';\n\nexport interface Line { sku: string; count: number }\nexport const total = (lines: Line[]) => lines.reduce((sum, it) => sum + priceOf(it.sku) * it.count, 0);\n",
  'src/prices.ts': "const PRICES = new Map([['pen', 120], ['ink', 890]]);\n\nexport function priceOf(sku: string): number {\n  return PRICES.get(sku) ?? 0;\n}\n",
  'src/stock.ts': 'export const stock = new Map<string, number>();\n', 'src/orders.ts': 'export const orders: string[] = [];\n', 'src/mail.ts': 'export const mail = [];\n',
  'README.md': '# Shop\n\nPens, ink and paper.\n', 'server.py': SERVER,
};

// What is hostile is shown as what it is: text.
export const HOSTILE = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>';

const PLAY = {
  cart: { hold: true, says: ['Reads src/cart/lines.ts', 'Adds discounts by quantity', `Found this in a comment: ${HOSTILE}`], prints: 'PASS tests/cart.test.ts (3 tests)', usd: 0.42 },
  search: { hold: true, says: ['Splits words at capitals', 'Builds the index of 412 files'], usd: 0.31 },
  discounts: { strays: 'src/mail.ts' },
  legacy: { word: 'TODO: port the old importer', usd: 0.95 },
  prices: { usd: 0.27 }, stock: { usd: 0.22 },
};

const RELEASE = [
  ['prices', 'Round prices by the rules of each currency', ['src/prices.ts'], 'back1', []],
  ['stock', 'Reserve stock while a cart is open', ['src/stock.ts'], 'back2', []],
  ['orders', 'Number orders without gaps', ['src/orders.ts'], 'back3', []],
  ['discounts', 'Discount codes with an expiry date', ['src/discounts.ts'], 'front1', ['prices']],
  ['legacy', 'Import the orders of the old shop', ['src/import/'], 'back2', ['stock']],
  ['cart', 'Discounts by quantity in the cart', ['src/cart/lines.ts', 'tests/cart.test.ts'], 'front2', ['prices']],
  ['search', 'Search by prefix, with an index', ['src/search/**'], 'back3', ['orders']],
  ['mail', 'Send a receipt', ['src/mail.ts'], 'back1', ['orders', 'legacy']],
  ['checkout', 'Check out with discounts', ['src/checkout.ts'], 'front1', ['cart', 'discounts']],
  ['returns', 'Take orders back within 14 days', ['src/returns.ts'], 'back2', ['mail', 'stock']],
  ['pages', 'Product pages that find their neighbours', ['src/pages/'], 'front2', ['search', 'discounts']],
  ['docs', 'Describe it all', ['docs/shop.md'], 'front1', ['checkout', 'returns', 'pages']],
];

export class Scene {
  /** Made with the program at KAPELL. */
  constructor(name = 'board') {
    this.program = process.env.KAPELL;
    if (!this.program || !existsSync(this.program)) throw new Error('KAPELL must name the program kapell');
    this.base = realpathSync(mkdtempSync(path.join(tmpdir(), `kapell-${name}-`)));
    this.repo = path.join(this.base, 'shop');
    this.ends = [];
    for (const folder of ['home', 'go', 'more', 'shop']) mkdirSync(path.join(this.base, folder));
    this.env = {
      PATH: process.env.PATH, LANG: 'C.UTF-8', HOME: path.join(this.base, 'home'), KAPELL_HOME: path.join(this.base, 'state'), TMPDIR: process.env.TMPDIR ?? tmpdir(),
      TMUX_TMPDIR: this.base, OLLAMA_HOST: '127.0.0.1:1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null',
      ...(process.env.KAPELL_WEB && { KAPELL_WEB: process.env.KAPELL_WEB }),
      GIT_AUTHOR_NAME: 'Ada', GIT_AUTHOR_EMAIL: 'ada@example.com', GIT_COMMITTER_NAME: 'Ada', GIT_COMMITTER_EMAIL: 'ada@example.com',
    };
  }

  write(file, text) {
    const full = path.join(this.repo, file);
    mkdirSync(path.dirname(full), { recursive: true });
    writeFileSync(full, text);
  }

  git(...args) {
    return execFileSync('git', args, { cwd: this.repo, env: this.env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }

  async begin() {
    writeFileSync(path.join(this.base, 'agent.py'), AGENT);
    writeFileSync(path.join(this.base, 'play.json'), JSON.stringify(PLAY));
    for (const [file, text] of Object.entries(FILES)) this.write(file, text);
    const command = JSON.stringify(['python3', path.join(this.base, 'agent.py'), this.base]);
    this.write('kapell.toml', CONFIG.replaceAll('COMMAND', command).replace('PORT', String(await freePort())));
    this.git('init', '--quiet', '--initial-branch=main');
    this.git('add', '--all');
    this.git('commit', '--quiet', '--message', 'The shop');
  }

  /** The answer of a command, or what it says of its refusal. */
  kapell(...args) {
    return JSON.parse(execFileSync(this.program, [...args, '--json'], { cwd: this.repo, env: this.env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 28 }));
  }

  /** Many calls at once, as one program would make them. */
  calls(list) {
    const input = list.map(([method, params], at) => JSON.stringify({ jsonrpc: '2.0', id: at, method, params })).join('\n');
    execFileSync(this.program, ['rpc'], { cwd: this.repo, env: this.env, input: `${input}\n`, maxBuffer: 1 << 28 });
  }

  plan(name, tasks, rules) {
    const file = path.join(this.base, `${name.replaceAll(' ', '-')}.json`);
    writeFileSync(file, JSON.stringify({ name, rules, tasks: tasks.map(([id, task, files, agent, depends_on]) => ({ id, task, files, agent, depends_on })) }));
    return this.kapell('plan', file).plan_id;
  }

  async wait(id, condition) {
    return until(`plan ${id}`, () => { const it = this.kapell('status', '--scope', 'plan', '--id', id); return condition(it, Object.fromEntries(it.tasks.map((task) => [task.id, task.state]))) && it; }, 90_000);
  }

  /** A release on its way: some is done, some is at work, one strayed, one failed. */
  async play() {
    const guide = this.plan('first guide', [['guide', 'Write the guide', ['docs/guide.md'], 'front1', []], ['terms', 'The words we use', ['docs/terms.md'], 'back1', []]]);
    this.kapell('dispatch', '--plan-id', guide);
    await this.wait(guide, (it) => it.state === 'done');
    this.release = this.plan('autumn release', RELEASE);
    this.kapell('dispatch', '--plan-id', this.release);
    await this.wait(this.release, (it, state) => state.discounts === 'done' && state.legacy === 'failed' && state.cart === 'running' && state.search === 'running');
    this.draft = this.plan('loyalty points', [['points', 'Points for each order', ['src/points.ts'], 'back1', []], ['levels', 'Silver and gold', ['src/levels.ts'], 'front1', ['points']]]);
    this.kapell('claim-files', 'README.md', 'docs/handbook', '--as', 'ada', '--reason', 'rewriting the introduction');
    this.kapell('claim-files', 'assets/**', '--holder', 'cursor-7', '--mode', 'shared', '--reason', 'reads icons');
  }

  /** Three checkouts: one at work, one crashed, one with something that is not committed. */
  async places() {
    this.kapell('env', 'create');
    this.kapell('env', 'launch', 'dev1');
    const { environments } = this.kapell('env', 'launch', 'dev2', 'qa');
    process.kill(environments.find((it) => it.name === 'dev2').subs.find((it) => it.name === 'qa').pid, 'SIGKILL');
    writeFileSync(`${environments.find((it) => it.name === 'dev2').path.replace(/dev2$/, 'dev3')}/notes.md`, 'not yet\n');
  }

  /** Lets the worker of a task go on to its end. */
  go(task) {
    writeFileSync(path.join(this.base, 'go', task), '');
  }

  /** Starts the server; `{board, base, token, port, end}`. On a certain port where one is given. */
  async serve(port = 0) {
    const child = spawn(this.program, ['serve', '--listen', `127.0.0.1:${port}`, '--json'], { cwd: this.repo, env: this.env, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '', wrong = '';
    child.stdout.on('data', (bytes) => { said += bytes; });
    child.stderr.on('data', (bytes) => { wrong += bytes; });
    const gone = new Promise((done) => child.on('exit', done));
    const end = (signal = 'SIGTERM') => { child.kill(signal); return gone; };
    this.ends.push(() => end('SIGKILL'));
    const line = await until('the server', () => { if (child.exitCode !== null) throw new Error(`kapell serve ended: ${wrong}`); return said.includes('\n') && JSON.parse(said.slice(0, said.indexOf('\n'))); });
    const url = new URL(line.board);
    return { ...line, base: url.origin, port: Number(url.port), token: new URLSearchParams(url.hash.slice(1)).get('token'), end };
  }

  /** Ends everything that was started. */
  async end() {
    for (const end of this.ends.splice(0)) await end();
    for (const words of [['env', 'stop'], ['shutdown-all', '--force']]) try { this.kapell(...words); } catch { /* there was nothing to end */ }
    await until('the end', () => { try { return this.kapell('list').conductors.length === 0; } catch { return true; } }, 15_000).catch(() => {});
    rmSync(this.base, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 });
  }
}
