// What lenses and actions of the server want, before the server does it.
import * as vscode from 'vscode';
import { ask } from './asks';
import { isWanted } from './care';
import type { Context } from './context';

interface Wish {
  action?: string;
  target?: string;
  uri?: string;
  reason?: string;
}

/** Whether the server is to go on. */
export async function guard(context: Context, command: string, args: unknown[]): Promise<boolean> {
  const { action, target, uri, reason } = (args[0] ?? {}) as Wish;
  if (command === 'kapell.control' && action !== undefined && target !== undefined) {
    return isWanted(context, action, target, (args[1] as { uri?: string } | undefined)?.uri);
  }
  if (command === 'kapell.checkPlan' && uri !== undefined) {
    // What is checked is what lies on the disk.
    const document = vscode.workspace.textDocuments.find((one) => one.uri.toString() === vscode.Uri.parse(uri).toString());
    if (document?.isDirty) return document.save();
  }
  if (command === 'kapell.ask' && uri !== undefined) {
    await ask(context, vscode.Uri.parse(uri), reason);
    return false;
  }
  return true;
}
