// The log of an attempt: a document that grows while the attempt lives, as long as it is open.
import * as vscode from 'vscode';
import { Tail, whereToBegin } from '../model/tail';
import { sentence } from '../model/text';
import type { Connection } from '../server/connection';

/** How long one question waits for more; the server answers as soon as there is any. */
const WAIT_MS = 30_000;
/** The whole text goes to the editor with each change: not more often than so. What is longer than `LONG`
 * characters it does not compare with what it had, but replaces. */
const SHOW_MS = 250;
const SHOW_LONG_MS = 1000;
const LONG = 100_000;

interface Following {
  tail: Tail;
  /** From where on more is asked for: until the first answer perhaps before the end. */
  offset: number;
  ended: boolean;
  /** Ends the question that is being waited for. */
  stop: vscode.CancellationTokenSource;
  /** What is to be shown, soon. */
  show?: NodeJS.Timeout;
}

export class Logs implements vscode.TextDocumentContentProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  private readonly followed = new Map<string, Following>();
  private readonly subscriptions: vscode.Disposable[];
  readonly onDidChange = this.changed.event;

  constructor(private readonly server: Connection) {
    this.subscriptions = [
      this.changed,
      vscode.workspace.registerTextDocumentContentProvider('kapell-log', this),
      vscode.workspace.onDidCloseTextDocument(({ uri }) => {
        const following = this.followed.get(uri.toString());
        if (following) leave(following);
        this.followed.delete(uri.toString());
      }),
      // While it is on its way back nothing is asked; then it goes on where it was.
      this.server.onState((state) => {
        if (state !== 'ready') return;
        for (const [key, following] of this.followed) void this.follow(vscode.Uri.parse(key), following);
      }),
      // Who looks at the end goes on looking at the end.
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (document.uri.scheme !== 'kapell-log' || contentChanges.length === 0) return;
        // What was cut off at its beginning is no news.
        const last = Math.max(...contentChanges.map(({ range }) => range.start.line));
        for (const editor of vscode.window.visibleTextEditors) {
          if (editor.document !== document) continue;
          const seen = editor.visibleRanges.at(-1)?.end.line ?? 0;
          if (seen >= last - 1) {
            const end = document.lineAt(document.lineCount - 1).range;
            editor.revealRange(end, vscode.TextEditorRevealType.Default);
          }
        }
      }),
    ];
  }

  static uri(attempt: string): vscode.Uri {
    return vscode.Uri.from({ scheme: 'kapell-log', path: `/${attempt}.log` });
  }

  async open(attempt: string): Promise<void> {
    // Asked first: of an attempt that is not there, no tab opens.
    await this.server.read(address(Logs.uri(attempt)), -1);
    const document = await vscode.workspace.openTextDocument(Logs.uri(attempt));
    const editor = await vscode.window.showTextDocument(document, { preview: true });
    const end = document.lineAt(document.lineCount - 1).range.end;
    editor.selection = new vscode.Selection(end, end);
    editor.revealRange(new vscode.Range(end, end));
  }

  async provideTextDocumentContent(uri: vscode.Uri): Promise<string> {
    const key = uri.toString();
    let following = this.followed.get(key);
    if (!following) {
      const { size = 0 } = await this.server.read(address(uri), -1);
      const offset = whereToBegin(size);
      following = { tail: new Tail(offset), offset, ended: false, stop: new vscode.CancellationTokenSource() };
      this.followed.set(key, following);
      await this.more(uri, following);
      void this.follow(uri, following);
    }
    return following.tail.text;
  }

  /** Takes what is there, waiting for it if that is wished; whether it was anything. */
  private async more(uri: vscode.Uri, following: Following, wait?: vscode.CancellationToken): Promise<boolean> {
    const began = following.offset;
    for (let first = true; ; first = false) {
      const waiting = first && wait ? { wait_ms: WAIT_MS, token: wait } : {};
      const piece = await this.server.read(address(uri), following.offset, waiting);
      following.tail.add(piece);
      following.ended = piece.ended === true;
      following.offset = piece.next_offset ?? following.offset;
      if (piece.text === '') break;
    }
    return following.offset > began;
  }

  /** Waits for more as long as the document is open and the attempt lives. */
  private async follow(uri: vscode.Uri, following: Following): Promise<void> {
    following.stop.cancel();
    const stop = new vscode.CancellationTokenSource();
    following.stop = stop;
    const goesOn = (): boolean => !stop.token.isCancellationRequested && !following.ended;
    try {
      while (goesOn()) {
        if (await this.more(uri, following, stop.token)) this.showSoon(uri, following);
      }
    } catch (error) {
      // The server ended: when it is back, its state says so.
      if (goesOn()) this.server.log.debug(`${uri.path}: ${sentence(error)}`);
    } finally {
      stop.dispose();
    }
  }

  private showSoon(uri: vscode.Uri, following: Following): void {
    following.show ??= setTimeout(() => {
      delete following.show;
      this.changed.fire(uri);
    }, following.tail.text.length > LONG ? SHOW_LONG_MS : SHOW_MS);
  }

  dispose(): void {
    for (const following of this.followed.values()) leave(following);
    this.followed.clear();
    for (const one of this.subscriptions) one.dispose();
  }
}

function leave({ stop, show }: Following): void {
  stop.cancel();
  clearTimeout(show);
}

function address(uri: vscode.Uri): string {
  return `kapell://attempts/${uri.path.slice(1).replace(/\.log$/, '')}/log`;
}
