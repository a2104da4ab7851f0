// The program that is to be the server: whether it is Kapell at all, and its process. Nothing here waits
// longer than a person would.
import { spawn, type ChildProcess } from 'node:child_process';

export interface Program {
  command: string;
  args: string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
}

/** Why there is no server, as far as what can be done about it differs. */
export type Failure = 'foreign' | 'silent' | 'died' | 'start';

/** Why it is not to be used: a sentence with the program's path and what to do. */
export class Unusable extends Error {
  constructor(readonly failure: Failure, message: string) {
    super(message);
  }
}

/** How it is asked for its version; nothing where that cannot be told, as it is called in another way. */
export function versionArguments(args: string[]): string[] | undefined {
  const at = args.lastIndexOf('lsp');
  return at === -1 ? undefined : [...args.slice(0, at), '--version'];
}

/** Its process, which ends with all that it started. */
export class Run {
  private child: ChildProcess | undefined;
  /** Rejects once it has ended. */
  readonly ended: Promise<never>;
  private tellEnd!: (why: Error) => void;

  constructor(private readonly program: Program) {
    this.ended = new Promise((_, reject) => {
      this.tellEnd = reject;
    });
    // Whoever does not wait for it is not told.
    this.ended.catch(() => undefined);
  }

  begin(args = this.program.args): ChildProcess {
    const { command, cwd, env } = this.program;
    // A group of its own: a wrapper may have started another program, and that is to end with it.
    const child = spawn(command, args, { cwd, env, detached: process.platform !== 'win32', stdio: 'pipe', windowsHide: true });
    this.child = child;
    child.on('error', (error) => this.tellEnd(new Unusable('start', `${command} could not be started: ${error.message}`)));
    child.on('exit', (code, signal) =>
      this.tellEnd(new Unusable('start', `${command} ended (${signal ?? code}) before it answered`)));
    // What is written to it once it has ended is lost, and that it ended is told above.
    child.stdin?.on('error', () => undefined);
    return child;
  }

  /** Ends it: at once, or if it has not done so by itself within a while. */
  end(grace_ms = 0): void {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    if (grace_ms > 0) {
      const timer = setTimeout(() => this.end(), grace_ms);
      child.on('exit', () => clearTimeout(timer));
      return;
    }
    try {
      if (process.platform === 'win32' || child.pid === undefined) child.kill('SIGKILL');
      else process.kill(-child.pid, 'SIGKILL');
    } catch {
      child.kill('SIGKILL');
    }
    for (const pipe of [child.stdout, child.stderr, child.stdin]) pipe?.destroy();
  }
}

/** A promise for no longer than that, and not once it is given up. */
export async function within<T>(promise: Promise<T>, ms: number, late: () => Error, signal: AbortSignal): Promise<T> {
  let end = (): void => undefined;
  const over = new Promise<never>((_, reject) => {
    const timer = setTimeout(() => reject(late()), ms);
    const giveUp = (): void => reject(signal.reason as Error);
    if (signal.aborted) giveUp();
    signal.addEventListener('abort', giveUp);
    end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
    };
  });
  promise.catch(() => undefined);
  return Promise.race([promise, over]).finally(() => end());
}

/** Asks the program what it is, and throws if it is not Kapell or does not say. */
export async function examine(program: Program, patience_ms: number, signal: AbortSignal): Promise<void> {
  const args = versionArguments(program.args);
  if (args === undefined) return;
  const { command } = program;
  const run = new Run(program);
  const answer = new Promise<string>((done, fail) => {
    const child = run.begin(args);
    let said = '';
    child.stdout?.on('data', (piece) => {
      if (said.length < 1000) said += String(piece);
    });
    child.on('error', (error) => fail(new Unusable('start', `${command} could not be started: ${error.message}`)));
    child.on('close', () => done(said));
  });
  const late = (): Error => new Unusable('silent', `${command} does not answer: it said no version within ${patience_ms / 1000} s`);
  try {
    const said = await within(answer, patience_ms, late, signal);
    if (!/^kapell\s+\d/.test(said)) {
      const [line] = said.trim().split('\n');
      throw new Unusable('foreign', `${command} is not Kapell${line ? `: with --version it says “${line.slice(0, 80)}”` : ': with --version it says nothing'}`);
    }
  } finally {
    run.end();
  }
}
