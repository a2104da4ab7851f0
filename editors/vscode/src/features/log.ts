// The log of an attempt: a document that grows while the attempt lives, as long as it is open.
import * as vscode from 'vscode';
import { sentence } from '../model/text';
import type { Connection } from '../server/connection';

/** How long one question waits for more; the server answers as soon as there is any. */
const WAIT_MS = 30_000;

interface Following {
  text: string;
  offset: number;
  ended: boolean;
  /** Ends the question that is being waited for. */
  stop: vscode.CancellationTokenSource;
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
        following?.stop.cancel();
        this.followed.delete(uri.toString());
      }),
      // While it is on its way back nothing is asked; then it goes on where it was.
      this.server.onState((state) => {
        if (state !== 'ready') return;
        for (const [key, following] of this.followed) void this.follow(vscode.Uri.parse(key), following);
      }),
      // Who looks at the end goes on looking at the end.
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        const [change] = contentChanges;
        if (document.uri.scheme !== 'kapell-log' || !change) return;
        for (const editor of vscode.window.visibleTextEditors) {
          if (editor.document !== document) continue;
          const seen = editor.visibleRanges.at(-1)?.end.line ?? 0;
          if (seen >= change.range.start.line - 1) {
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
    await this.server.read(address(Logs.uri(attempt)), 0);
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
      following = { text: '', offset: 0, ended: false, stop: new vscode.CancellationTokenSource() };
      this.followed.set(key, following);
      await this.more(uri, following);
      void this.follow(uri, following);
    }
    return following.text;
  }

  /** Takes what is there, waiting for it if that is wished; whether it was anything. */
  private async more(uri: vscode.Uri, following: Following, wait?: vscode.CancellationToken): Promise<boolean> {
    const had = following.text.length;
    for (let first = true; ; first = false) {
      const waiting = first && wait ? { wait_ms: WAIT_MS, token: wait } : {};
      const piece = await this.server.read(address(uri), following.offset, waiting);
      following.text += piece.text;
      following.ended = piece.ended === true;
      const next = piece.next_offset;
      if (next === undefined || next === following.offset || piece.text === '') break;
      following.offset = next;
    }
    return following.text.length > had;
  }

  /** Waits for more as long as the document is open and the attempt lives. */
  private async follow(uri: vscode.Uri, following: Following): Promise<void> {
    following.stop.cancel();
    const stop = new vscode.CancellationTokenSource();
    following.stop = stop;
    const goesOn = (): boolean => !stop.token.isCancellationRequested && !following.ended;
    try {
      while (goesOn()) {
        if (await this.more(uri, following, stop.token)) this.changed.fire(uri);
      }
    } catch (error) {
      // The server ended: when it is back, its state says so.
      if (goesOn()) this.server.log.debug(`${uri.path}: ${sentence(error)}`);
    } finally {
      stop.dispose();
    }
  }

  dispose(): void {
    for (const { stop } of this.followed.values()) stop.cancel();
    this.followed.clear();
    for (const one of this.subscriptions) one.dispose();
  }
}

function address(uri: vscode.Uri): string {
  return `kapell://attempts/${uri.path.slice(1).replace(/\.log$/, '')}/log`;
}
