// Looking at things: logs, changes, verdicts, ids, the server itself.
import * as vscode from 'vscode';
import { count, sentence } from '../model/text';
import { find } from '../features/mcp';
import { attemptOf, command, say, subjectOf, type Context } from './context';

export function registerLook(context: Context): void {
  const { documents, logs, server, board } = context;

  const on = (id: string, title: string, show: (attempt: string) => unknown): void => {
    command(context, id, async (given: unknown) => {
      const attempt = await attemptOf(context, given, title);
      if (attempt !== undefined) await show(attempt);
    });
  };
  on('kapell.showDiff', 'Whose changes?', (attempt) => documents.showDiff(attempt));
  on('kapell.showPatch', 'Whose changes?', (attempt) => documents.showPatch(attempt));
  on('kapell.showVerdict', 'Which verdict?', (attempt) => documents.showVerdict(attempt));
  on('kapell.openLog', 'Whose log?', (attempt) => logs.open(attempt));
  // What lenses and code actions of the server carry: an attempt, or a document of one.
  on('kapell.ui.showDiff', 'Whose changes?', (attempt) => documents.showDiff(attempt));
  on('kapell.ui.showVerdict', 'Which verdict?', (attempt) => documents.showVerdict(attempt));
  on('kapell.ui.openLog', 'Whose log?', (attempt) => logs.open(attempt));

  command(context, 'kapell.ui.openDocument', (given: { uri: string }) => documents.showNamed(given.uri));
  command(context, 'kapell.ui.followLog', (given: { uri: string; attempt?: string }) =>
    logs.open(given.attempt ?? given.uri.split('/').at(-2) ?? ''));

  command(context, 'kapell.openWorktree', async (given: unknown) => {
    const subject = subjectOf(given);
    if (subject?.kind !== 'attempt' || !subject.detail.worktree) return;
    await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.file(subject.detail.worktree), true);
  });
  command(context, 'kapell.copyId', async (given: unknown) => {
    const id = subjectOf(given)?.id;
    if (id === undefined) return;
    await vscode.env.clipboard.writeText(id);
    vscode.window.setStatusBarMessage(`Kapell: copied ${id}`, 3000);
  });
  command(context, 'kapell.markSeen', () => board.markSeen());
  command(context, 'kapell.refresh', () => board.refresh());
  command(context, 'kapell.showEvents', () => context.events.show(true));
  command(context, 'kapell.showLog', () => server.log.show(true));
  command(context, 'kapell.restart', () => server.restart());
  command(context, 'kapell.openSettings', () =>
    vscode.commands.executeCommand('workbench.action.openSettings', `@ext:${context.extension.extension.id}`));
  command(context, 'kapell.openWalkthrough', () =>
    vscode.commands.executeCommand('workbench.action.openWalkthrough', `${context.extension.extension.id}#start`, false));
  command(context, 'kapell.install', () => documents.showInstall());
  command(context, 'kapell.copyDiagnostics', async () => {
    await vscode.env.clipboard.writeText(diagnostics(context));
    await say('what helps to find what is wrong is in the clipboard.');
  });
  command(context, 'kapell.copyMcpConfig', async () => {
    const place = find(context.extension);
    if (typeof place === 'string') throw new Error(place);
    // Without them the agent would look at another state than the window.
    const env = vscode.workspace.getConfiguration('kapell').get<Record<string, string>>('server.environment', {});
    const kapell = { command: place.program, args: ['mcp'], ...(Object.keys(env).length === 0 ? {} : { env }) };
    const config = { mcpServers: { kapell } };
    await vscode.env.clipboard.writeText(`${JSON.stringify(config, null, 2)}\n`);
    await say('the configuration is in the clipboard: it goes into .mcp.json, or where your agent keeps its own.');
  });
}

/** What to send with a report: no contents of files, no paths but the program's. */
function diagnostics({ extension, server, board }: Context): string {
  const overviews = board.shown.flatMap(({ snapshot }) => snapshot?.overview ?? []);
  return [
    `extension ${String(extension.extension.packageJSON.version)}, ${vscode.env.appName} ${vscode.version}, ${process.platform} ${process.arch}`,
    `server: ${server.state}${server.why === '' ? '' : `, ${sentence({ message: server.why })}`}`,
    `program: ${server.place ? `${server.place.program} (${server.place.by})` : 'none'} ${server.serverInfo}`,
    `trusted: ${vscode.workspace.isTrusted}, folders: ${vscode.workspace.workspaceFolders?.length ?? 0}, remote: ${vscode.env.remoteName ?? 'no'}`,
    `projects: ${board.shown.length}, plans: ${overviews.flatMap(({ plans }) => plans).length}, workers: ${JSON.stringify(overviews.map(({ workers }) => workers))}, ${count(board.totalClaims, 'claim')}, newest event: ${board.events.at(-1)?.seq ?? 'none'}`,
    '',
  ].join('\n');
}
