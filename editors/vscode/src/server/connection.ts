// The language server: its start, its state, and the calls to it. Everything else is there before it
// starts, and stays when it cannot.
import * as os from 'node:os';
import * as vscode from 'vscode';
import {
  CloseAction, ErrorAction, LanguageClient, RevealOutputChannelOn, State,
  type LanguageClientOptions, type ServerCapabilities, type StaticFeature,
} from 'vscode-languageclient/node';
import { sentence } from '../model/text';
import type { Claims, Event, Meeting, Owner, Projects, ReadResult } from '../model/wire';
import { locate, type Place } from './locate';
import { examine, Run, Unusable, within, type Failure, type Program } from './program';

export type ServerState = 'starting' | 'ready' | 'missing' | 'failed' | 'untrusted' | 'noFolder' | 'stopped';

export interface Waiting {
  wait_ms?: number;
  token?: vscode.CancellationToken;
}

/** More deaths than this within a minute, and it is left dead. */
const MOST_RESTARTS = 4;
/** So long it may take to say its version, to answer first, and to end. */
const VERSION_MS = 10_000;
const ANSWER_MS = 30_000;
const END_MS = 2_000;

/** The library tells of some errors by itself, several times each; what becomes of the server is told here. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

const NEVER = new vscode.CancellationTokenSource().token;

/** A client with its process. */
interface Live {
  client: LanguageClient;
  run: Run;
  /** It has answered. */
  isUp: boolean;
}

export class Connection implements vscode.Disposable {
  private live: Live | undefined;
  /** Ends a start that is on its way. */
  private starting = new AbortController();
  private deaths: number[] = [];
  private turn: Promise<void> = Promise.resolve();
  private readonly stateChanged = new vscode.EventEmitter<ServerState>();
  private readonly eventHeard = new vscode.EventEmitter<Event>();
  private readonly claimsHeard = new vscode.EventEmitter<Claims>();
  private readonly projectsHeard = new vscode.EventEmitter<Projects>();
  private readonly meetingHeard = new vscode.EventEmitter<Meeting>();
  private readonly executed = new vscode.EventEmitter<{ command: string; args: unknown[]; result: unknown }>();

  readonly onState = this.stateChanged.event;
  readonly onEvent = this.eventHeard.event;
  readonly onClaims = this.claimsHeard.event;
  /** Which projects are open in the window, whenever that changes. */
  readonly onProjects = this.projectsHeard.event;
  /** A person edits what somebody else holds: told once for each file and holder. */
  readonly onMeeting = this.meetingHeard.event;
  /** A command of a lens or an action was carried out by the server. */
  readonly onExecuted = this.executed.event;

  state: ServerState = 'stopped';
  /** Why it is not ready. */
  why = '';
  place: Place | undefined;
  /** Asked before the server carries out what a lens or an action wants: whether it is to. */
  guard: (command: string, args: unknown[]) => Promise<boolean> = async () => true;

  constructor(
    private readonly context: vscode.ExtensionContext,
    readonly log: vscode.LogOutputChannel,
  ) {}

  private become(state: ServerState, why = '', failure?: Failure): void {
    this.state = state;
    this.why = why;
    void vscode.commands.executeCommand('setContext', 'kapell.failure', failure);
    void vscode.commands.executeCommand('setContext', 'kapell.state', state);
    void vscode.commands.executeCommand('setContext', 'kapell.ready', state === 'ready');
    this.stateChanged.fire(state);
  }

  /** Starts the server if it may run and can be found. Never throws: what is wrong becomes the state. */
  start(): Promise<void> {
    return this.inTurn(() => this.begin());
  }

  /** Trust, settings and folders tell of one thing each by itself: what they want is done one after the other. */
  private inTurn(action: () => Promise<void>): Promise<void> {
    this.turn = this.turn.then(action);
    return this.turn;
  }

  private async begin(): Promise<void> {
    if (this.live) return;
    const folder = vscode.workspace.workspaceFolders?.find((it) => it.uri.scheme === 'file');
    if (!folder) return this.become('noFolder', 'no folder is open');
    if (!vscode.workspace.isTrusted) return this.become('untrusted', 'this folder is not trusted yet');
    const settings = vscode.workspace.getConfiguration('kapell');
    const place = locate({
      setting: settings.get<string | null>('server.path'),
      extension: this.context.extensionPath,
      path: process.env['PATH'],
      platform: process.platform,
      home: os.homedir(),
    });
    if (typeof place === 'string') {
      this.log.warn(place);
      return this.become('missing', place);
    }
    this.place = place;
    const { signal } = (this.starting = new AbortController());
    this.become('starting');
    const program: Program = {
      command: place.program,
      args: settings.get<string[]>('server.arguments', ['lsp']),
      cwd: folder.uri.fsPath,
      env: { ...process.env, ...settings.get<Record<string, string>>('server.environment', {}) },
    };
    try {
      await examine(program, VERSION_MS, signal);
      const live = (this.live = this.make(program, settings));
      const late = (): Error => new Unusable('silent', `${place.program} does not answer: nothing came within ${ANSWER_MS / 1000} s`);
      await within(Promise.race([live.client.start(), live.run.ended]), ANSWER_MS, late, signal);
    } catch (error) {
      // It answered, and died at once: that is told by its connection.
      if (this.live?.isUp && !signal.aborted) return;
      await this.drop();
      if (signal.aborted) return this.become('stopped');
      this.log.error(`${place.program} could not be started: ${sentence(error)}`);
      return this.fail(error instanceof Unusable ? error : new Unusable('start', `${place.program} could not be started: ${sentence(error)}`));
    }
    this.log.info(`${place.program} (${place.by}) serves this window, from ${folder.uri.fsPath} on`);
  }

  /** There is no server, and it is told once, with what can be done. */
  private fail({ failure, message }: Unusable): void {
    this.become('failed', message, failure);
    const next = 'name another program in kapell.server.path, or see what it wrote';
    const ways: Record<string, string> = {
      'Open Settings': 'kapell.openSettings', 'Show Log': 'kapell.showLog', 'Try Again': 'kapell.restart',
    };
    void vscode.window.showErrorMessage(`Kapell: ${message}; ${next}.`, ...Object.keys(ways)).then((answer) => {
      const command = answer === undefined ? undefined : ways[answer];
      if (command !== undefined) void vscode.commands.executeCommand(command);
    });
  }

  /** It died: it is started again, unless it does nothing but die. */
  private async again(dead: Live): Promise<void> {
    if (this.live !== dead) return;
    await this.drop();
    const now = Date.now();
    this.deaths = this.deaths.filter((at) => now - at < 60_000).concat(now);
    if (this.deaths.length > MOST_RESTARTS) {
      const program = this.place?.program ?? 'the server';
      return this.fail(new Unusable('died', `${program} died ${this.deaths.length} times within a minute`));
    }
    this.log.warn('the server died and is started again');
    await this.begin();
  }

  private make(program: Program, settings: vscode.WorkspaceConfiguration): Live {
    const run = new Run(program);
    const person = settings.get<string>('person', '');
    const options: LanguageClientOptions = {
      // Any file can be owned.
      documentSelector: [{ scheme: 'file' }],
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      progressOnInitialization: false,
      // The warning that person and agent meet is ours, with buttons.
      initializationOptions: { showMeetings: false, opensClean: true, ...(person === '' ? {} : { person }) },
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          // While it starts, whoever starts it is told. The client is still busy with this end.
          if (live.isUp) setImmediate(() => void this.inTurn(() => this.again(live)));
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
      middleware: {
        // A text that is not what lies on the disk may be older than that instead of changed: only the
        // editor knows, and a file without changes is not to be held.
        didOpen: async (document, next) => {
          await next(document);
          if (!document.isDirty) return;
          const textDocument = { uri: document.uri.toString(), version: document.version };
          await client.sendNotification('textDocument/didChange', { textDocument, contentChanges: [] });
        },
        provideCodeLenses: (document, token, next) =>
          vscode.workspace.getConfiguration('kapell', document).get('codeLens', true) ? next(document, token) : [],
        provideInlayHints: (document, range, token, next) =>
          vscode.workspace.getConfiguration('kapell', document).get('inlayHints', false)
            ? next(document, range, token) : [],
        // The ids of the contract are called from here with an object; from a lens likewise. An
        // error is told once, in a sentence.
        executeCommand: async (command, args, next) => {
          try {
            if (!(await this.guard(command, args))) return undefined;
            const result: unknown = await next(command, args);
            this.executed.fire({ command, args, result });
            return result;
          } catch (error) {
            void vscode.window.showErrorMessage(`Kapell: ${sentence(error)}`);
            return undefined;
          }
        },
      },
    };
    const client: LanguageClient = new QuietClient('kapell', 'Kapell', async () => run.begin(), options);
    const live: Live = { client, run, isUp: false };
    client.onDidChangeState(({ newState }) => {
      if (this.live !== live || newState !== State.Running) return;
      live.isUp = true;
      this.become('ready');
    });
    client.registerFeature(withoutOurs(this.context));
    client.onNotification('kapell/meeting', (meeting: Meeting) => this.meetingHeard.fire(meeting));
    client.onNotification('kapell/event', (event: Event) => this.eventHeard.fire(event));
    client.onNotification('kapell/projects', (projects: Projects) => this.projectsHeard.fire(projects));
    client.onNotification('kapell/claims', (claims: Claims) => this.claimsHeard.fire(claims));
    return live;
  }

  /** Lets go of the client and its process. */
  private async drop(): Promise<void> {
    const { live } = this;
    this.live = undefined;
    if (!live) return;
    // What does not answer is not asked to end.
    const isUp = live.client.state === State.Running;
    if (!isUp) live.run.end();
    try {
      await live.client.dispose();
    } catch (error) {
      // It was dead or half started: there is nothing left to end.
      this.log.debug(`at the end: ${sentence(error)}`);
    }
    if (isUp) live.run.end(END_MS);
  }

  restart(): Promise<void> {
    this.starting.abort(new Error('it is started anew'));
    return this.inTurn(async () => {
      this.deaths = [];
      await this.drop();
      this.become('stopped');
      await this.begin();
    });
  }

  private ready(): LanguageClient {
    if (!this.live || this.state !== 'ready') {
      throw new Error(`the server is not running${this.why === '' ? '' : `: ${this.why}`}`);
    }
    return this.live.client;
  }

  /** Calls a method of the contract, such as `claim-files`, about the project of a file or folder: that
   * of the window's first folder unless told. The token gives up what waits. */
  async call<Result>(method: string, params: object, about?: string, token?: vscode.CancellationToken): Promise<Result> {
    return this.ready().sendRequest<Result>('workspace/executeCommand', {
      command: `kapell.${method}`,
      arguments: about === undefined ? [params] : [params, { uri: about }],
    }, token ?? NEVER);
  }

  /** A document of the server. Of a log more can be waited for; the token ends that. */
  async read(uri: string, offset?: number, waiting: Waiting = {}): Promise<ReadResult> {
    const { token, ...wait } = waiting;
    const params = { uri, ...(offset === undefined ? {} : { offset }), ...wait };
    return this.ready().sendRequest<ReadResult>('kapell/read', params, token ?? NEVER);
  }

  async owner(uri: vscode.Uri): Promise<Owner> {
    return this.ready().sendRequest<Owner>('kapell/owner', { uri: uri.toString() });
  }

  /** What the server said of itself. */
  get serverInfo(): string {
    const info = this.live?.client.initializeResult?.serverInfo;
    return info ? `${info.name} ${info.version ?? ''}`.trim() : '';
  }

  dispose(): Promise<void> {
    this.starting.abort(new Error('the window is closed'));
    this.stateChanged.dispose();
    return this.inTurn(() => this.drop());
  }
}

/** The client registers the server's commands by their ids. One that is ours stays ours, so that a
 * newer server cannot keep this extension from starting. */
function withoutOurs(context: vscode.ExtensionContext): StaticFeature {
  const manifest = context.extension.packageJSON as { contributes: { commands: { command: string }[] } };
  const ours = new Set(manifest.contributes.commands.map(({ command }) => command));
  return {
    fillClientCapabilities: () => undefined,
    preInitialize: (capabilities: ServerCapabilities) => {
      const provider = capabilities.executeCommandProvider;
      if (provider) provider.commands = provider.commands.filter((id) => !ours.has(id));
    },
    initialize: () => undefined,
    getState: () => ({ kind: 'static' }),
    clear: () => undefined,
  };
}
