// What all views share: they show the board, and are told when it changes.
import * as vscode from 'vscode';
import type { Board, Room } from '../model/board';
import { Node } from './node';

export abstract class Tree implements vscode.TreeDataProvider<Node>, vscode.Disposable {
  protected readonly changed = new vscode.EventEmitter<Node[] | undefined>();
  readonly onDidChangeTreeData = this.changed.event;
  protected readonly subscriptions: vscode.Disposable[] = [this.changed];
  /** The rows that the editor has, by the project that they lie below, if any. */
  private readonly drawn = new Map<string | undefined, Node[]>();
  private readonly projects = new Map<string, Node>();

  constructor(protected readonly board: Board) {}

  /** The rows of the view, or those below the row of a project. */
  protected abstract rows(project?: Node): Node[];

  /** What lies below a row that is no project. */
  protected below(_node: Node): vscode.ProviderResult<Node[]> {
    return [];
  }

  getChildren(node?: Node): vscode.ProviderResult<Node[]> {
    if (node && node.subject.kind !== 'project') return this.below(node);
    const rows = this.rows(node);
    this.drawn.set(node?.subject.id, rows);
    return rows;
  }

  getTreeItem(node: Node): vscode.TreeItem {
    return node;
  }

  /**
   * Shows what changed. The editor forgets all rows of a view that is drawn anew as a whole until it has
   * asked for them again, and a click on one of them in the meantime says nothing of whose it was: so
   * rows that stay are changed in place.
   */
  protected redraw(): void {
    const changed: Node[] = [];
    for (const [project, rows] of this.drawn) {
      const next = this.rows(project === undefined ? undefined : this.projects.get(project));
      if (next.length !== rows.length || next.some((row, at) => row.id !== rows[at]!.id)) {
        this.drawn.clear();
        return this.changed.fire(undefined);
      }
      rows.forEach((row, at) => {
        if (faceOf(row) === faceOf(next[at]!)) return;
        Object.assign(row, next[at]);
        changed.push(row);
      });
    }
    if (changed.length > 0) this.changed.fire(changed);
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
    this.projects.set(root, node);
    return node;
  }

  dispose(): void {
    for (const one of this.subscriptions) one.dispose();
  }
}

/** All that a row is. What its command is called with is the row itself. */
function faceOf(row: Node): string {
  return JSON.stringify(row, (key, value: unknown) => (key === 'arguments' ? undefined : value));
}
