// The log of an attempt: a document that grows while the attempt lives, as long as it is open.
import * as vscode from 'vscode';
import { sentence } from '../model/text';
import type { Connection } from '../server/connection';

/** How long to wait before a log that said nothing new is asked again. */
const PAUSE_MS = 400;

interface Following {
  text: string;
  offset: number;
  ended: boolean;
  next: NodeJS.Timeout | undefined;
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
        if (following) clearTimeout(following.next);
        this.followed.delete(uri.toString());
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
      following = { text: '', offset: 0, ended: false, next: undefined };
      this.followed.set(key, following);
      await this.more(uri, following);
      this.later(uri, following);
    }
    return following.text;
  }

  /** Takes what is there; whether it was anything. */
  private async more(uri: vscode.Uri, following: Following): Promise<boolean> {
    const had = following.text.length;
    for (;;) {
      const piece = await this.server.read(address(uri), following.offset);
      following.text += piece.text;
      following.ended = piece.ended === true;
      const next = piece.next_offset;
      if (next === undefined || next === following.offset || piece.text === '') break;
      following.offset = next;
    }
    return following.text.length > had;
  }

  private later(uri: vscode.Uri, following: Following): void {
    if (following.ended || this.followed.get(uri.toString()) !== following) return;
    following.next = setTimeout(() => {
      this.more(uri, following).then(
        (news) => {
          if (news) this.changed.fire(uri);
          this.later(uri, following);
        },
        (error: unknown) => {
          // The server may be on its way back: the log is tried again.
          this.server.log.debug(`${uri.path}: ${sentence(error)}`);
          this.later(uri, following);
        },
      );
    }, PAUSE_MS);
  }

  dispose(): void {
    for (const { next } of this.followed.values()) clearTimeout(next);
    this.followed.clear();
    for (const one of this.subscriptions) one.dispose();
  }
}

function address(uri: vscode.Uri): string {
  return `kapell://attempts/${uri.path.slice(1).replace(/\.log$/, '')}/log`;
}
