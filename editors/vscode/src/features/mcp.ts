// Kapell as an MCP server for the agents inside of the editor, where the editor has such a thing.
import * as os from 'node:os';
import * as vscode from 'vscode';
import { locate, type Place } from '../server/locate';
import type { Connection } from '../server/connection';

/** Whether this editor knows MCP servers of extensions: forks may lack it. */
export function canProvideMcp(): boolean {
  return typeof vscode.lm?.registerMcpServerDefinitionProvider === 'function'
    && typeof vscode.McpStdioServerDefinition === 'function';
}

export function find(context: vscode.ExtensionContext): Place | string {
  return locate({
    setting: vscode.workspace.getConfiguration('kapell').get<string | null>('server.path'),
    extension: context.extensionPath,
    path: process.env['PATH'],
    platform: process.platform,
    home: os.homedir(),
  });
}

export interface Mcp extends vscode.Disposable {
  /** What the editor is given; nothing where it takes no such thing. */
  provider?: vscode.McpServerDefinitionProvider;
}

export function provideMcp(context: vscode.ExtensionContext, server: Connection): Mcp {
  if (!canProvideMcp()) {
    server.log.info('this editor takes no MCP servers from extensions');
    return { dispose: () => undefined };
  }
  const changed = new vscode.EventEmitter<void>();
  const provider: vscode.McpServerDefinitionProvider = {
    onDidChangeMcpServerDefinitions: changed.event,
    // It must not ask anything: where there is no server there is no definition.
    provideMcpServerDefinitions: () => {
      const place = find(context);
      if (typeof place === 'string' || !vscode.workspace.isTrusted) return [];
      // One for each folder: an agent that works in it is to call Kapell about that project.
      const folders = (vscode.workspace.workspaceFolders ?? []).filter(({ uri }) => uri.scheme === 'file');
      const environment = vscode.workspace.getConfiguration('kapell').get<Record<string, string>>('server.environment', {});
      return folders.map((folder) => {
        const definition = new vscode.McpStdioServerDefinition(
          folders.length === 1 ? 'Kapell' : `Kapell (${folder.name})`, place.program, ['mcp'], environment,
          server.serverInfo || context.extension.packageJSON.version,
        );
        definition.cwd = folder.uri;
        return definition;
      });
    },
  };
  const parts = vscode.Disposable.from(
    changed,
    server.onState(() => changed.fire()),
    vscode.workspace.onDidChangeWorkspaceFolders(() => changed.fire()),
    vscode.lm.registerMcpServerDefinitionProvider('kapell', provider),
  );
  return { provider, dispose: () => void parts.dispose() };
}
