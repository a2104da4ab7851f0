// The word of warning when a person edits what somebody else holds. The server tells of it once for
// each file and holder.
import * as vscode from 'vscode';
import { holderOf } from '../model/text';
import type { Meeting } from '../model/wire';
import type { Connection } from '../server/connection';

export function warnOfMeetings(server: Connection): vscode.Disposable {
  return server.onMeeting((meeting) => void warn(meeting));
}

async function warn({ uri: text, path, claims }: Meeting): Promise<void> {
  const uri = vscode.Uri.parse(text);
  const held = claims.find((claim) => !claim.own);
  if (!held || !vscode.workspace.getConfiguration('kapell', uri).get('warnOnEdit', true)) return;
  const answer = await vscode.window.showWarningMessage(
    `${path} is held by ${holderOf(held)}. Your changes and theirs may meet.`, 'Take Over', 'Undo',
  );
  if (answer === 'Take Over') {
    await vscode.commands.executeCommand('kapell.takeOver', uri);
  } else if (answer === 'Undo') {
    await vscode.window.showTextDocument(uri, { preview: false });
    await vscode.commands.executeCommand('workbench.action.files.revert');
  }
}
