// What all views share: they show the board, and are told when it changes.
import * as vscode from 'vscode';
import type { Board, Room } from '../model/board';
import { Node } from './node';

export abstract class Tree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  protected readonly changed = new vscode.EventEmitter<Node | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  protected readonly subscriptions: vscode.Disposable[] = [this.changed];

  constructor(protected readonly board: Board) {}

  abstract getChildren(node?: Node): vscode.ProviderResult<Node[]>;

  getTreeItem(node: Node): vscode.TreeItem {
    return node;
  }

  protected redraw(): void {
    this.changed.fire(undefined);
  }

  /** The rows of every project; where there are several of these, each project's below its name. */
  protected byProject(node: Node | undefined, rowsOf: (room: Room) => Node[]): Node[] {
    const rows = (room: Room): Node[] => rowsOf(room).map((row) => {
      row.root = room.project.root;
      // A worker of that name may be in another project as well.
      if (row.id !== undefined && this.board.shown.length > 1) row.id = `${row.root} ${row.id}`;
      return row;
    });
    if (node) return this.board.shown.filter((room) => room.project.root === node.subject.id).flatMap(rows);
    if (this.board.shown.length < 2) return this.board.shown.flatMap(rows);
    return this.board.shown.flatMap((room) => {
      const below = rowsOf(room);
      return below.length === 0 ? [] : [this.projectNode(room, below.length)];
    });
  }

  private projectNode(room: Room, rows: number): Node {
    const { root } = room.project;
    const node = new Node({ kind: 'project', id: root }, this.board.nameOf(room), vscode.TreeItemCollapsibleState.Expanded);
    node.id = `project:${root}`;
    node.root = root;
    node.iconPath = new vscode.ThemeIcon('repo');
    node.description = String(rows);
    node.tooltip = vscode.Uri.parse(root).fsPath;
    node.contextValue = 'project';
    return node;
  }

  dispose(): void {
    for (const one of this.subscriptions) one.dispose();
  }
}
