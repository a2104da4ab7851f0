// The language server: its start, its state, and the calls to it. Everything else is there before it
// starts, and stays when it cannot.
import * as os from 'node:os';
import * as vscode from 'vscode';
import {
  CloseAction, ErrorAction, LanguageClient, RevealOutputChannelOn, State,
  type LanguageClientOptions, type ServerCapabilities, type ServerOptions, type StaticFeature,
} from 'vscode-languageclient/node';
import { sentence } from '../model/text';
import type { Claims, Event, Meeting, Owner, Projects, ReadResult } from '../model/wire';
import { locate, type Place } from './locate';

export type ServerState = 'starting' | 'ready' | 'missing' | 'failed' | 'untrusted' | 'noFolder' | 'stopped';

export interface Waiting {
  wait_ms?: number;
  token?: vscode.CancellationToken;
}

/** More deaths than this within a minute, and it is left dead. */
const MOST_RESTARTS = 4;

export class Connection implements vscode.Disposable {
  private client: LanguageClient | undefined;
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

  constructor(
    private readonly context: vscode.ExtensionContext,
    readonly log: vscode.LogOutputChannel,
  ) {}

  private become(state: ServerState, why = ''): void {
    this.state = state;
    this.why = why;
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
    if (this.client) return;
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
    this.become('starting');
    const client = this.make(place, folder, settings);
    this.client = client;
    try {
      await client.start();
    } catch (error) {
      this.log.error(`${place.program} could not be started: ${sentence(error)}`);
      if (this.client === client) this.client = undefined;
      // The failed client is no use any more, and says so when it is asked to end.
      void client.dispose().catch(() => undefined);
      this.become('failed', sentence(error));
      return;
    }
    this.log.info(`${place.program} (${place.by}) serves this window, from ${folder.uri.fsPath} on`);
  }

  private make(place: Place, folder: vscode.WorkspaceFolder, settings: vscode.WorkspaceConfiguration): LanguageClient {
    const run = {
      command: place.program,
      args: settings.get<string[]>('server.arguments', ['lsp']),
      options: {
        cwd: folder.uri.fsPath,
        env: { ...process.env, ...settings.get<Record<string, string>>('server.environment', {}) },
      },
    };
    const server: ServerOptions = { run, debug: run };
    const person = settings.get<string>('person', '');
    const options: LanguageClientOptions = {
      // Any file can be owned.
      documentSelector: [{ scheme: 'file' }],
      outputChannel: this.log,
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      progressOnInitialization: false,
      // The warning that person and agent meet is ours, with buttons.
      initializationOptions: { showMeetings: false, opensClean: true, ...(person === '' ? {} : { person }) },
      connectionOptions: { maxRestartCount: MOST_RESTARTS },
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue }),
        closed: () => {
          const now = Date.now();
          this.deaths = this.deaths.filter((at) => now - at < 60_000).concat(now);
          if (this.deaths.length > MOST_RESTARTS) {
            this.become('failed', `the server died ${this.deaths.length} times within a minute`);
            return { action: CloseAction.DoNotRestart, handled: true };
          }
          this.log.warn('the server died and is started again');
          return { action: CloseAction.Restart, handled: true };
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
    const client: LanguageClient = new LanguageClient('kapell', 'Kapell', server, options);
    client.onDidChangeState(({ newState }) => {
      if (this.client !== client) return;
      if (newState === State.Running) this.become('ready');
      else if (newState === State.Starting && this.state !== 'starting') this.become('starting');
    });
    client.registerFeature(withoutOurs(this.context));
    client.onNotification('kapell/meeting', (meeting: Meeting) => this.meetingHeard.fire(meeting));
    client.onNotification('kapell/event', (event: Event) => this.eventHeard.fire(event));
    client.onNotification('kapell/projects', (projects: Projects) => this.projectsHeard.fire(projects));
    client.onNotification('kapell/claims', (claims: Claims) => this.claimsHeard.fire(claims));
    return client;
  }

  private async end(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    if (client) {
      try {
        await client.dispose();
      } catch (error) {
        // It was dead or half started: there is nothing left to end.
        this.log.debug(`at the end: ${sentence(error)}`);
      }
    }
    this.become('stopped');
  }

  restart(): Promise<void> {
    return this.inTurn(async () => {
      this.deaths = [];
      await this.end();
      await this.begin();
    });
  }

  private ready(): LanguageClient {
    if (!this.client || this.state !== 'ready') {
      throw new Error(`the server is not running${this.why === '' ? '' : `: ${this.why}`}`);
    }
    return this.client;
  }

  /** Calls a method of the contract, such as `claim-files`, about the project of a file or folder: that
   * of the window's first folder unless told. */
  async call<Result>(method: string, params: object, about?: string): Promise<Result> {
    return this.ready().sendRequest<Result>('workspace/executeCommand', {
      command: `kapell.${method}`,
      arguments: about === undefined ? [params] : [params, { uri: about }],
    });
  }

  /** A document of the server. Of a log more can be waited for; the token ends that. */
  async read(uri: string, offset?: number, waiting: Waiting = {}): Promise<ReadResult> {
    const { token, ...wait } = waiting;
    const params = { uri, ...(offset === undefined ? {} : { offset }), ...wait };
    return this.ready().sendRequest<ReadResult>('kapell/read', params, token ?? new vscode.CancellationTokenSource().token);
  }

  async owner(uri: vscode.Uri): Promise<Owner> {
    return this.ready().sendRequest<Owner>('kapell/owner', { uri: uri.toString() });
  }

  /** What the server said of itself. */
  get serverInfo(): string {
    const info = this.client?.initializeResult?.serverInfo;
    return info ? `${info.name} ${info.version ?? ''}`.trim() : '';
  }

  dispose(): Promise<void> {
    this.stateChanged.dispose();
    return this.inTurn(() => this.end());
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
