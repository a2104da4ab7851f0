// The extension in the stand-in for the editor, with a server that answers as a test says.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { activate, type Api } from '../../src/extension';
import type { Owner, Overview } from '../../src/model/wire';

export const here = process.cwd();
export const manifest = JSON.parse(readFileSync(path.join(here, 'package.json'), 'utf8'));

export interface Registered {
  commands: Map<string, (...args: unknown[]) => Promise<unknown>>;
  views: { id: string }[];
  items: Map<string, vscode.StatusBarItem>;
  contexts: Map<string, unknown>;
  settings: Set<string>;
  executed: unknown[][];
  providers: Map<string, vscode.TextDocumentContentProvider>;
}
export const registered = (vscode as unknown as { registered: Registered }).registered;

export function begin(): Promise<Api> {
  return activate({
    subscriptions: [], extensionPath: here, extension: { id: 'kapell.kapell', packageJSON: manifest },
  } as unknown as vscode.ExtensionContext);
}

export const project = (root: string, id: string) => ({ root, project: id, name: root.split('/').at(-1)!, folders: [{ uri: root, path: '' }] });
export const overview = (more: Partial<Overview> = {}): Overview =>
  ({ seq: 1, plans: [], workers: { busy: 0, idle: 0, unhealthy: 0 }, claims: 0, warnings: [], ...more });

export interface Call {
  method: string;
  params: Record<string, unknown>;
  about: string | undefined;
}

/** A server that answers, and what it was asked; files are held by whom `owners` says. */
export function serve(api: Api, answer: (call: Call, token?: vscode.CancellationToken) => unknown, owners: Record<string, Owner> = {}): Call[] {
  const calls: Call[] = [];
  const { server } = api.context;
  server.state = 'ready';
  Object.assign(server, {
    call: async (method: string, params: Record<string, unknown>, about?: string, token?: vscode.CancellationToken) => {
      calls.push({ method, params, about });
      return answer({ method, params, about }, token);
    },
    owner: async (uri: vscode.Uri) => owners[uri.path] ?? { path: uri.path.split('/').slice(3).join('/'), claims: [] },
  });
  return calls;
}

/** What a person says to what is asked, in order, and what was asked. */
export function person(...answers: (string | undefined)[]): string[] {
  const asked: string[] = [];
  const window = vscode.window as unknown as Record<string, unknown>;
  const hear = (question: unknown): string | undefined => {
    const text = typeof question === 'string' ? question : (question as { title: string }).title;
    asked.push(text);
    return answers.shift();
  };
  window['showWarningMessage'] = async (text: string, ...rest: unknown[]) =>
    (rest.length > 0 ? hear(text) : void asked.push(text));
  window['showInformationMessage'] = async (text: string, ...rest: unknown[]) => (rest.length > 0 ? hear(text) : void asked.push(text));
  window['showErrorMessage'] = async (text: string) => void asked.push(text);
  window['showInputBox'] = async (options: { title: string; value?: string }) => {
    const answer = hear(options);
    return answer === '=' ? options.value : answer;
  };
  window['showQuickPick'] = async (items: unknown[], options: { title: string }) => {
    const answer = hear(options);
    return items.find((item) => item === answer || (item as { label?: string }).label === answer);
  };
  window['withProgress'] = async (options: { title: string }, task: (progress: unknown, token: unknown) => Promise<unknown>) => {
    asked.push(options.title);
    return task(undefined, new vscode.CancellationTokenSource().token);
  };
  return asked;
}
