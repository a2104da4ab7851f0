// The word of warning when a person edits what somebody else holds: once for each file and holder.
import * as vscode from 'vscode';
import { holderOf } from '../model/text';
import type { Board } from '../model/board';
import type { Ownership } from './ownership';

export class EditWarning implements vscode.Disposable {
  /** By file: of whose claim the person was warned. */
  private readonly warned = new Map<string, string>();
  private readonly clean = new Set<string>();
  private readonly subscriptions: vscode.Disposable[];

  constructor(private readonly ownership: Ownership, board: Board) {
    this.subscriptions = [
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (contentChanges.length > 0 && document.isDirty) void this.look(document);
      }),
      vscode.workspace.onDidCloseTextDocument((document) => this.warned.delete(document.uri.toString())),
      // A file that is claimed while it has unsaved changes is met just the same.
      board.onClaims(() => {
        for (const document of vscode.workspace.textDocuments) {
          if (document.isDirty) void this.look(document);
        }
      }),
    ];
  }

  private async look(document: vscode.TextDocument): Promise<void> {
    const key = document.uri.toString();
    if (document.uri.scheme !== 'file' || this.clean.has(key)) return;
    if (!vscode.workspace.getConfiguration('kapell', document).get('warnOnEdit', true)) return;
    // One question a file at a time: a person types faster than one needs to know.
    this.clean.add(key);
    const owner = await this.ownership.of(document.uri);
    this.clean.delete(key);
    const held = owner?.claims.find((claim) => !claim.own);
    if (!held) {
      this.warned.delete(key);
      return;
    }
    if (this.warned.get(key) === held.holder) return;
    this.warned.set(key, held.holder);
    const answer = await vscode.window.showWarningMessage(
      `${owner?.path ?? document.fileName} is held by ${holderOf(held)}. Your changes and theirs may meet.`,
      'Take Over', 'Undo',
    );
    if (answer === 'Take Over') {
      await vscode.commands.executeCommand('kapell.takeOver', document.uri);
    } else if (answer === 'Undo') {
      await vscode.window.showTextDocument(document, { preview: false });
      await vscode.commands.executeCommand('workbench.action.files.revert');
    }
  }

  dispose(): void {
    for (const one of this.subscriptions) one.dispose();
  }
}
