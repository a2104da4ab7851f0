// The stream of events as an output channel, and which of them are told.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { concernOf } from '../model/needs';
import type { Event } from '../model/wire';

function line(event: Event, where: string): string {
  return `${event.seq} ${where === '' ? '' : `${where} `}${event.kind}${event.plan_id === undefined ? '' : ` ${event.plan_id}`}: ${event.text}`;
}

export function eventStream(board: Board, channel: vscode.LogOutputChannel): vscode.Disposable {
  return board.onEvent((event) => {
    const concern = concernOf(event);
    if (concern === 'needs-you') channel.warn(line(event, board.label(event.root)));
    else channel.info(line(event, board.label(event.root)));
    void tell(event, concern, board.label(event.root));
  });
}

/** Whether a person is among those who are asked to let go. */
function asksPerson(kinds: unknown): boolean {
  return Array.isArray(kinds) && kinds.includes('person');
}

async function tell(event: Event, concern: ReturnType<typeof concernOf>, where: string): Promise<void> {
  const text = `Kapell${where === '' ? '' : ` in ${where}`}: ${event.text}`;
  const how = vscode.workspace.getConfiguration('kapell').get<string>('notifications', 'needsYou');
  if (how === 'none') return;
  if (event.kind === 'claim.taken' && event.data?.['from_kind'] === 'person') {
    // Perhaps it was this person's: who takes over gives a reason, and it is told.
    void vscode.window.showWarningMessage(text);
  } else if (event.kind === 'claim.asked' && asksPerson(event.data?.['from_kinds'])) {
    void vscode.window.showInformationMessage(text);
  } else if (concern === 'needs-you') {
    const buttons = event.attempt === undefined ? ['Show'] : ['Show', 'Log'];
    const answer = await vscode.window.showWarningMessage(text, ...buttons);
    if (answer === 'Show') await vscode.commands.executeCommand('kapell.attention.focus');
    if (answer === 'Log') await vscode.commands.executeCommand('kapell.openLog', event.attempt);
  } else if (concern === 'finished' && (how === 'all' || event.kind === 'plan.state')) {
    const answer = await vscode.window.showInformationMessage(text, 'Show');
    if (answer === 'Show') await vscode.commands.executeCommand('kapell.plans.focus');
  }
}
