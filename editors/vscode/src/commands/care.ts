// What is asked before something is done that cannot be taken back, from wherever it is wanted: a row, a
// key, or a lens of the server.
import * as vscode from 'vscode';
import { sentence } from '../model/text';
import type { Context } from './context';

/** Whether the person wants it. What does no harm is not asked. */
export async function isWanted(context: Context, action: string, target: string, about?: string): Promise<boolean> {
  const plan = context.board.plans.find(({ plan_id }) => plan_id === target);
  const name = plan?.name ?? target;
  switch (action) {
    case 'stop':
      return confirm(`Stop ${name}? What runs is ended; its work is kept.`, 'Stop');
    case 'cancel':
      return confirm(`Cancel ${name}? It will not be done.`, 'Cancel It');
    case 'land':
      return confirm(
        target === 'all' ? 'Land all that is done, each plan on its branch?'
          : `Land ${name}? What is done of it goes onto ${plan?.target ?? 'the branch that it is for'}.`,
        'Land',
      );
    case 'approve':
      return confirm(`Accept ${name} ${await verdictOf(context, target, about)}?`, 'Approve');
    default:
      return true;
  }
}

export async function confirm(question: string, button: string): Promise<boolean> {
  return (await vscode.window.showWarningMessage(question, { modal: true }, button)) === button;
}

/** What the judge says of the newest try at a task, as far as it is no yes. */
async function verdictOf({ board, server }: Context, task: string, about: string | undefined): Promise<string> {
  try {
    const verdict = (await board.task(task, about)).attempts.at(-1)?.verdict;
    if (verdict === 'rejected') return 'although the judge refused it';
    if (verdict === 'error') return 'although the judge came to no end with it';
    return verdict === undefined ? 'although no judge has seen it' : 'as it is';
  } catch (error) {
    server.log.debug(`${task}: ${sentence(error)}`);
    return 'as it is';
  }
}
