// What all views share: they show the board, and are told when it changes.
import * as vscode from 'vscode';
import type { Node } from './node';

export abstract class Tree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  protected readonly changed = new vscode.EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  protected readonly subscriptions: vscode.Disposable[] = [this.changed];

  abstract getChildren(node?: Node): vscode.ProviderResult<Node[]>;

  getTreeItem(node: Node): vscode.TreeItem {
    return node;
  }

  protected redraw(): void {
    this.changed.fire(undefined);
  }

  dispose(): void {
    for (const one of this.subscriptions) one.dispose();
  }
}
