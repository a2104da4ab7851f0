// A place for the tests inside of the editor: a repository, a state folder, a code-server with the
// extension, and a Chromium that opens it. Everything is on the loopback interface and is ended by
// the process that began it.
//
// Environment: KAPELL (the program), CODE_SERVER (the starter made by get-code-server.sh), CHROMIUM,
// EXTENSION (the built extension's folder, or a .vsix; BUNDLED=1 where that has a server).
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createRequire } from 'node:module';

function needed(name) {
  const value = process.env[name];
  if (!value || !existsSync(value)) throw new Error(`${name} must name something that is there`);
  return path.resolve(value);
}

const KAPELL = needed('KAPELL');
const CODE_SERVER = needed('CODE_SERVER');
const CHROMIUM = needed('CHROMIUM');
const EXTENSION = needed('EXTENSION');
const { chromium } = createRequire(path.join(needed('NODE_MODULES'), 'x.js'))('playwright-core');

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Waits until something is true, and gives it. */
export async function until(what, condition, patience = 30_000) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await sleep(20);
  }
}

function freePort() {
  return new Promise((done, fail) => {
    const server = createServer();
    server.on('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

// A worker that does what the pipe says which has the name of its task, as soon as a test writes into it.
// It may be given something to say first. Behind its wall it can read pipes and make none.
const agent = (base) => `echo "starting on $KAPELL_TASK"
[ -e "${base}/steps/$KAPELL_TASK.first" ] && . "${base}/steps/$KAPELL_TASK.first"
. "${base}/steps/$KAPELL_TASK"
`;

/** The ids of tasks that tests use. */
const IDS = ['1', '2', '3', '4', '5', '6', '7', '8', 'two', 'build'];

/** Writes a script into a pipe, which waits for its reader, though not for ever. */
export function writePipe(pipe, script) {
  const writer = spawn('timeout', ['60', 'sh', '-c', 'cat > "$1"', 'sh', pipe], { stdio: ['pipe', 'ignore', 'ignore'] });
  writer.stdin.end(script);
}

export class Bench {
  constructor(name) {
    this.base = mkdtempSync(path.join(tmpdir(), `kapell-${name}-`));
    this.repo = path.join(this.base, 'shop');
    mkdirSync(path.join(this.base, 'steps'), { recursive: true });
    writeFileSync(path.join(this.base, 'agent.sh'), agent(this.base));
    execFileSync('mkfifo', IDS.map((id) => path.join(this.base, 'steps', id)));
    const home = path.join(this.base, 'home');
    mkdirSync(home);
    this.env = {
      ...process.env,
      HOME: home, XDG_CONFIG_HOME: path.join(home, '.config'), XDG_DATA_HOME: path.join(home, '.data'),
      XDG_CACHE_HOME: path.join(home, '.cache'), XDG_STATE_HOME: path.join(home, '.state'),
      KAPELL, KAPELL_HOME: path.join(this.base, 'state'), KAPELL_TEST_BASE: this.base,
      GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null',
      GIT_AUTHOR_NAME: 'test', GIT_AUTHOR_EMAIL: 'test@localhost',
      GIT_COMMITTER_NAME: 'test', GIT_COMMITTER_EMAIL: 'test@localhost',
    };
    delete this.env.VSCODE_IPC_HOOK_CLI;
    this.ends = [];
  }

  write(file, text, repo = this.repo) {
    const full = path.join(repo, file);
    mkdirSync(path.dirname(full), { recursive: true });
    writeFileSync(full, text);
  }

  /** The repository, with these files and that kapell.toml (AGENT stands for the scripted worker). */
  begin(files, toml, repo = this.repo) {
    for (const [file, text] of Object.entries(files)) this.write(file, text, repo);
    this.write('kapell.toml', toml.replaceAll('AGENT', path.join(this.base, 'agent.sh')), repo);
    for (const args of [['init', '--initial-branch=main'], ['add', '--all'], ['commit', '--message', 'first']]) {
      execFileSync('git', args, { cwd: repo, env: this.env, stdio: ['ignore', 'ignore', 'inherit'] });
    }
  }

  /** Kapell as another process. */
  kapell(...args) {
    const out = execFileSync(KAPELL, [...args, '--json'], {
      cwd: this.repo, env: this.env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'],
    });
    return JSON.parse(out);
  }

  /** Lets the worker of a task do what a shell script says. */
  work(task, script) {
    writePipe(path.join(this.base, 'steps', String(task)), script);
  }

  /** What the worker of a task does before it is told anything. */
  first(task, script) {
    writeFileSync(path.join(this.base, 'steps', `${task}.first`), script);
  }

  /** Starts the editor with the extension, further extensions, and settings. Windows are trusted unless
   * it is said that nobody trusts them. */
  async editor({ extensions = [], settings = {}, untrusted = false } = {}) {
    const data = path.join(this.base, 'data');
    const installed = path.join(this.base, 'extensions');
    mkdirSync(installed, { recursive: true });
    const all = JSON.stringify({
      'security.workspace.trust.enabled': untrusted,
      'security.workspace.trust.startupPrompt': 'never',
      'workbench.startupEditor': 'none',
      'telemetry.telemetryLevel': 'off',
      'update.mode': 'none',
      'extensions.autoUpdate': false,
      'extensions.autoCheckUpdates': false,
      'extensions.ignoreRecommendations': true,
      'workbench.enableExperiments': false,
      'chat.disableAIFeatures': true,
      'chat.commandCenter.enabled': false,
      'workbench.tips.enabled': false,
      'workbench.secondarySideBar.defaultVisibility': 'hidden',
      'editor.minimap.enabled': false,
      'git.enabled': false,
      // In a browser the editor would save after a second, and what has unsaved changes has none any more.
      'files.autoSave': 'off',
      // A package for a platform is to find its own.
      ...(process.env.BUNDLED ? {} : { 'kapell.server.path': KAPELL }),
      'kapell.server.environment': { KAPELL_HOME: this.env.KAPELL_HOME },
      ...settings,
    }, null, 2);
    // Settings of a machine are read from the second place only.
    for (const scope of ['User', 'Machine']) {
      mkdirSync(path.join(data, scope), { recursive: true });
      writeFileSync(path.join(data, scope, 'settings.json'), all);
    }
    writeFileSync(path.join(this.base, 'config.yaml'), 'auth: none\n');
    const common = ['--config', path.join(this.base, 'config.yaml'), '--user-data-dir', data, '--extensions-dir', installed];
    for (const extension of [EXTENSION, ...extensions]) {
      if (extension.endsWith('.vsix')) {
        execFileSync(CODE_SERVER, [...common, '--install-extension', extension], { env: this.env, stdio: 'pipe' });
      } else {
        const { publisher, name, version } = JSON.parse(readFileSync(path.join(extension, 'package.json'), 'utf8'));
        symlinkSync(extension, path.join(installed, `${publisher}.${name}-${version}`));
      }
    }
    // Whoever installs one makes a list, in which the others are not; without it all are found.
    rmSync(path.join(installed, 'extensions.json'), { force: true });
    this.port = await freePort();
    const log = openSync(path.join(this.base, 'code-server.log'), 'a');
    const server = spawn(CODE_SERVER, [
      ...common, '--bind-addr', `127.0.0.1:${this.port}`, '--auth', 'none', '--disable-telemetry', '--disable-update-check',
      ...(untrusted ? [] : ['--disable-workspace-trust']), '--disable-getting-started-override',
    ], { env: this.env, stdio: ['ignore', log, log], detached: true });
    // Its own process group: what it started ends with it.
    this.ends.push(() => endGroup(server));
    await until('code-server', async () => {
      if (server.exitCode !== null) throw new Error(readFileSync(path.join(this.base, 'code-server.log'), 'utf8'));
      return fetch(`http://127.0.0.1:${this.port}/healthz`).then((answer) => answer.ok, () => false);
    });
  }

  /** A browser's page with the editor in it: of the repository, or of a file that names several folders. */
  async page({ width = 1440, height = 900, scheme = 'dark', workspace } = {}) {
    const profile = path.join(this.base, `chromium-${scheme}`);
    const browser = await chromium.launchPersistentContext(profile, {
      executablePath: CHROMIUM, headless: true, viewport: { width, height }, colorScheme: scheme,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1'],
    });
    this.ends.push(() => browser.close());
    const page = browser.pages()[0] ?? (await browser.newPage());
    this.console = [];
    page.on('console', (message) => this.console.push(`${message.type()} ${message.text()}`));
    await page.goto(`http://127.0.0.1:${this.port}/?${workspace ? 'workspace' : 'folder'}=${encodeURIComponent(workspace ?? this.repo)}`);
    return page;
  }

  async end() {
    for (const end of this.ends.reverse()) {
      try {
        await end();
      } catch (error) {
        console.error(`while ending: ${error}`);
      }
    }
    try {
      this.kapell('shutdown-all', '--force');
    } catch {
      // Nothing ran.
    }
    if (process.env.KEEP) {
      console.log(`kept: ${this.base}`);
    } else {
      rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
    }
  }
}

async function endGroup(child) {
  if (child.exitCode !== null) return;
  const ended = new Promise((done) => child.once('exit', done));
  process.kill(-child.pid, 'SIGTERM');
  const hard = setTimeout(() => process.kill(-child.pid, 'SIGKILL'), 5000);
  await ended;
  clearTimeout(hard);
}

