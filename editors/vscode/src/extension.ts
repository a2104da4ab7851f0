// The extension. Views and commands are there first; then the server is started, and if that fails
// they say so.
import * as vscode from 'vscode';
import { registerClaims } from './commands/claims';
import type { Context } from './commands/context';
import { registerLook } from './commands/look';
import { registerStages } from './commands/stages';
import { registerWork } from './commands/work';
import { Decorations } from './features/decorations';
import { Documents } from './features/documents';
import { eventStream } from './features/events';
import { Logs } from './features/log';
import { provideMcp, type Mcp } from './features/mcp';
import { overviewItem } from './features/overview';
import { Ownership } from './features/ownership';
import { warnOfMeetings } from './features/warning';
import { Board } from './model/board';
import { Connection } from './server/connection';
import { AttentionTree, keepBadges } from './views/attention';
import { ClaimsTree } from './views/claims';
import { ConductorsTree, EventsTree, WorkersTree } from './views/fleet';
import { rowDecorations, type Node } from './views/node';
import { PlansTree } from './views/plans';
import type { Tree } from './views/tree';

export interface Api {
  context: Context;
  trees: Record<string, Tree>;
  views: Record<string, vscode.TreeView<Node>>;
  decorations: Decorations;
  mcp: Mcp;
}

export async function activate(extension: vscode.ExtensionContext): Promise<Api> {
  const keep = <T extends vscode.Disposable>(one: T): T => {
    extension.subscriptions.push(one);
    return one;
  };
  const log = keep(vscode.window.createOutputChannel('Kapell Server', { log: true }));
  const events = keep(vscode.window.createOutputChannel('Kapell Events', { log: true }));
  const server = keep(new Connection(extension, log));
  const board = keep(new Board(server));
  const ownership = keep(new Ownership(server, board));
  const documents = keep(new Documents(server, board));
  const logs = keep(new Logs(server));
  const context: Context = { extension, server, board, ownership, documents, logs, events };

  const trees = {
    attention: keep(new AttentionTree(board)),
    plans: keep(new PlansTree(board)),
    claims: keep(new ClaimsTree(board)),
    workers: keep(new WorkersTree(board)),
    conductors: keep(new ConductorsTree(board)),
    events: keep(new EventsTree(board)),
  };
  const view = (name: keyof typeof trees): vscode.TreeView<Node> =>
    keep(vscode.window.createTreeView(`kapell.${name}`, { treeDataProvider: trees[name], showCollapseAll: name === 'plans' }));
  const views = {
    attention: view('attention'), plans: view('plans'), claims: view('claims'),
    workers: view('workers'), conductors: view('conductors'), events: view('events'),
  };
  keep(keepBadges(board, views.attention, views.plans));
  // Who opens the view of plans has seen what finished, once the view is left again.
  keep(views.plans.onDidChangeVisibility(({ visible }) => {
    if (!visible) board.sawFinished();
  }));
  keep(vscode.window.registerFileDecorationProvider(rowDecorations));

  registerClaims(context);
  registerWork(context);
  registerStages(context);
  registerLook(context);
  keep(overviewItem(server, board));
  const decorations = keep(new Decorations(board, ownership));
  keep(warnOfMeetings(server));
  keep(eventStream(board, events));
  const mcp = keep(provideMcp(extension, server));

  keep(vscode.workspace.onDidGrantWorkspaceTrust(() => void server.start()));
  keep(vscode.workspace.onDidChangeWorkspaceFolders(() => {
    if (server.state === 'noFolder') void server.start();
  }));
  keep(vscode.workspace.onDidChangeConfiguration((change) => {
    if (change.affectsConfiguration('kapell.server') || change.affectsConfiguration('kapell.person')) {
      void server.restart();
    }
  }));
  await server.start();
  return { context, trees, views, decorations, mcp };
}

export function deactivate(): void {
  // What was begun is in the subscriptions, and ends with them.
}
