// Who holds the file of an editor: the status bar, and the context of menus.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { ago, holderOf, nameOf } from '../model/text';
import type { Owner } from '../model/wire';
import type { Connection } from '../server/connection';

export class Ownership implements vscode.Disposable {
  private readonly item: vscode.StatusBarItem;
  private readonly subscriptions: vscode.Disposable[];
  private asked = 0;

  constructor(private readonly server: Connection, board: Board) {
    this.item = vscode.window.createStatusBarItem('kapell.owner', vscode.StatusBarAlignment.Left, 50);
    this.item.name = 'Kapell: Owner of the File';
    this.item.command = 'kapell.fileMenu';
    this.subscriptions = [
      this.item,
      vscode.window.onDidChangeActiveTextEditor(() => void this.show()),
      board.onClaims(() => void this.show()),
      // That somebody waits is no claim.
      board.onEvent(({ kind }) => {
        if (kind.startsWith('claim.')) void this.show();
      }),
      board.onMinute(() => void this.show()),
      server.onState(() => void this.show()),
    ];
    void this.show();
  }

  /** Who holds a file; nothing where that cannot be told. */
  async of(uri: vscode.Uri): Promise<Owner | undefined> {
    if (uri.scheme !== 'file' || this.server.state !== 'ready') return undefined;
    try {
      return await this.server.owner(uri);
    } catch {
      // Outside of a project, or the server just ended: the state of the server tells that.
      return undefined;
    }
  }

  private async show(): Promise<void> {
    const uri = vscode.window.activeTextEditor?.document.uri;
    const turn = ++this.asked;
    const owner = uri && (await this.of(uri));
    if (turn !== this.asked) return;
    const held = owner?.claims.filter((claim) => !claim.own) ?? [];
    const own = owner?.claims.find((claim) => claim.own);
    const [first] = held;
    let context = 'free';
    this.item.backgroundColor = undefined;
    if (!owner?.path) {
      this.item.hide();
      void vscode.commands.executeCommand('setContext', 'kapell.fileOwner', 'none');
      return;
    } else if (first) {
      context = 'held';
      const waits = owner.asked ? ' $(bell)' : '';
      this.item.text = `$(lock) ${nameOf(first)}${held.length > 1 ? ` +${held.length - 1}` : ''}${waits}`;
      this.item.tooltip = `${owner.path} is held by ${holderOf(first)}, ${ago(first.since, Date.now())}${owner.asked ? '; you wait for it' : ''}`;
      this.item.backgroundColor = new vscode.ThemeColor('statusBarItem.warningBackground');
    } else if (own) {
      context = 'own';
      this.item.text = '$(person) yours';
      this.item.tooltip = `You hold ${owner.path}`;
    } else {
      this.item.text = '$(unlock) free';
      this.item.tooltip = `Nobody holds ${owner.path}`;
    }
    this.item.accessibilityInformation = { label: String(this.item.tooltip) };
    void vscode.commands.executeCommand('setContext', 'kapell.fileOwner', context);
    this.item.show();
  }

  /** What the status bar says, for tests. */
  get text(): string {
    return this.item.text;
  }

  dispose(): void {
    for (const one of this.subscriptions) one.dispose();
  }
}
