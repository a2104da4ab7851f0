// Documents of an attempt: its verdict, its diff, its log, and its files before and after.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { parsePatch, type FileChange } from '../model/patch';
import { sentence } from '../model/text';
import type { Connection } from '../server/connection';

/** A document of the server, `kapell://attempts/ID/PART`, with a name that a tab can show. */
export function documentUri(attempt: string, part: 'diff' | 'log' | 'verdict'): vscode.Uri {
  const name = { diff: `${attempt}.diff`, log: `${attempt}.log`, verdict: `Verdict ${attempt}.md` }[part];
  return vscode.Uri.from({ scheme: 'kapell', authority: 'attempts', path: `/${attempt}/${part}/${name}` });
}

/** Any other document of the server, which has no changes to save. */
function namedUri(uri: string): vscode.Uri {
  return vscode.Uri.from({ scheme: 'kapell', authority: 'document', path: `/${uri.split('/').at(-1)}`, query: uri });
}

const INSTALL_URI = vscode.Uri.from({ scheme: 'kapell', authority: 'help', path: '/Installing the Kapell Server.md' });
const INSTALL = [
  '# Installing the Kapell server',
  '',
  'The extension needs one program, `kapell`. It is looked for in this order:',
  '',
  '1. the setting `kapell.server.path`,',
  '2. inside of the extension (packages for a platform bring it along),',
  '3. on the `PATH` of the editor.',
  '',
  'With Rust it is built from the sources:',
  '',
  '    cargo install --path .',
  '',
  'Then run **Kapell: Restart Server**.',
  'On a remote machine the program must be there, not where the window is.',
  '',
].join('\n');

/** How the server calls that document. */
export function serverUri(uri: vscode.Uri): string {
  if (uri.authority === 'document') return uri.query;
  const [, attempt, part] = uri.path.split('/');
  return `kapell://attempts/${attempt}/${part}`;
}

export interface Side {
  attempt: string;
  path: string;
  side: 'before' | 'after';
}

export function sideUri({ attempt, path: file, side }: Side): vscode.Uri {
  return vscode.Uri.from({ scheme: 'kapell-file', path: `/${file}`, query: `${side}&${attempt}` });
}

function sideOf(uri: vscode.Uri): Side {
  const [side, attempt] = uri.query.split('&');
  return { attempt: attempt ?? '', path: uri.path.slice(1), side: side === 'before' ? 'before' : 'after' };
}

export class Documents implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly subscriptions: vscode.Disposable[];
  readonly onDidChange = this.changed.event;

  constructor(private readonly server: Connection, private readonly board: Board) {
    this.subscriptions = [
      this.changed,
      vscode.workspace.registerTextDocumentContentProvider('kapell', this),
      vscode.workspace.registerTextDocumentContentProvider('kapell-file', {
        provideTextDocumentContent: (uri) => this.file(sideOf(uri)),
      }),
      // A verdict that is open becomes another one when the judge is done.
      board.onEvent((event) => {
        if (event.kind !== 'attempt.judged' || event.attempt === undefined) return;
        this.changed.fire(documentUri(event.attempt, 'verdict'));
        this.changed.fire(documentUri(event.attempt, 'diff'));
      }),
    ];
  }

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    return uri.authority === 'help' ? INSTALL : this.whole(serverUri(uri));
  }

  /** How the server is had, which is to be read without one. */
  async showInstall(): Promise<void> {
    await this.show(INSTALL_URI, 'markdown');
  }

  /** A document that comes in pieces. */
  async whole(uri: string): Promise<string> {
    let text = '';
    let offset: number | undefined;
    for (;;) {
      const piece = await this.server.read(uri, offset);
      text += piece.text;
      if (piece.next_offset === undefined || piece.text === '' || piece.next_offset === offset) return text;
      offset = piece.next_offset;
    }
  }

  async changes(attempt: string): Promise<FileChange[]> {
    return parsePatch(await this.whole(`kapell://attempts/${attempt}/diff`));
  }

  /** A file as it was where the attempt began, or as the attempt left it; empty where there is none. */
  private async file({ attempt, path, side }: Side): Promise<string> {
    const change = (await this.changes(attempt)).find((one) => one.path === path);
    if (change?.kind === (side === 'before' ? 'added' : 'deleted')) return '';
    const name = side === 'before' ? (change?.oldPath ?? path) : path;
    const part = side === 'before' ? 'base' : 'files';
    const encoded = name.split('/').map(encodeURIComponent).join('/');
    return this.whole(`kapell://attempts/${attempt}/${part}/${encoded}`);
  }

  /** Shows an attempt's changes, a file at a time; as one diff where a file cannot be shown. */
  async showDiff(attempt: string): Promise<void> {
    const changes = await this.changes(attempt);
    if (changes.length === 0) {
      void vscode.window.showInformationMessage(`Kapell: ${attempt} has changed nothing.`);
      return;
    }
    const shown = changes.filter((change) => !change.binary);
    if (shown.length !== changes.length || shown.length === 0) return this.showPatch(attempt);
    try {
      const sides = shown.map((change): [FileChange, vscode.Uri, vscode.Uri] => [
        change,
        sideUri({ attempt, path: change.path, side: 'before' }),
        sideUri({ attempt, path: change.path, side: 'after' }),
      ]);
      // Asked before it is shown, so that what is not kept is told instead of shown as empty.
      await Promise.all([this.file(sideOf(sides[0]![1])), this.file(sideOf(sides[0]![2]))]);
      if (sides.length === 1) {
        const [change, old, now] = sides[0]!;
        await vscode.commands.executeCommand('vscode.diff', old, now, `${change.path} (${attempt})`, { preview: true });
      } else {
        const room = this.board.shown.find(({ snapshot }) =>
          snapshot?.plans.some(({ tasks }) => tasks.some((task) => task.attempt === attempt)));
        const top = (room ?? this.board.shown[0])?.project.root;
        const root = top === undefined ? vscode.Uri.file('/') : vscode.Uri.parse(top);
        await vscode.commands.executeCommand(
          'vscode.changes', `Changes of ${attempt}`,
          sides.map(([change, old, now]) => [vscode.Uri.joinPath(root, change.path), old, now]),
        );
      }
    } catch (error) {
      this.server.log.warn(`${attempt} is shown as one diff: ${sentence(error)}`);
      await this.showPatch(attempt);
    }
  }

  async showPatch(attempt: string): Promise<void> {
    await this.open(documentUri(attempt, 'diff'), 'diff');
  }

  async showVerdict(attempt: string): Promise<void> {
    await this.open(documentUri(attempt, 'verdict'), 'markdown');
  }

  /** A document by the server's name for it: an attempt's diff or verdict. */
  async showNamed(uri: string): Promise<void> {
    const [, attempt, part] = /^kapell:\/\/attempts\/([^/]+)\/(\w+)/.exec(uri) ?? [];
    if (attempt !== undefined && part === 'diff') return this.showDiff(attempt);
    if (attempt !== undefined && part === 'verdict') return this.showVerdict(attempt);
    // One that is open already may be of another time.
    this.changed.fire(namedUri(uri));
    await this.open(namedUri(uri));
  }

  private async open(uri: vscode.Uri, language?: string): Promise<void> {
    // Asked first: what cannot be read is a message, not an empty tab.
    await this.server.read(serverUri(uri));
    await this.show(uri, language);
  }

  private async show(uri: vscode.Uri, language?: string): Promise<void> {
    const document = await vscode.workspace.openTextDocument(uri);
    if (language) await vscode.languages.setTextDocumentLanguage(document, language).then(undefined, () => undefined);
    await vscode.window.showTextDocument(document, { preview: true });
  }

  dispose(): void {
    for (const one of this.subscriptions) one.dispose();
  }
}
