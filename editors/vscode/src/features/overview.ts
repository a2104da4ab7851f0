// The whole work in the status bar.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { nameOfNeed } from '../model/needs';
import { pausedOf, standing } from '../model/text';
import type { PlanStatus } from '../model/wire';
import type { Connection } from '../server/connection';

/** Whether nothing is done in a plan until somebody resumes it, or a task of it. */
function isHeldUp(plan: PlanStatus): boolean {
  const paused = pausedOf(plan);
  return plan.state === 'paused' || (paused > 0 && paused >= plan.running);
}

export function overviewItem(server: Connection, board: Board): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('kapell.overview', vscode.StatusBarAlignment.Left, 51);
  item.name = 'Kapell';
  const show = (): void => {
    item.backgroundColor = undefined;
    item.command = 'kapell.plans.focus';
    const running = board.plans.filter((plan) => plan.state === 'running' || plan.state === 'paused');
    const needs = board.unseenNeeds.length;
    if (server.state === 'missing' || server.state === 'failed') {
      item.text = '$(warning) Kapell';
      item.tooltip = `Kapell: ${server.why}`;
      item.command = server.state === 'missing' ? 'kapell.install' : 'kapell.showLog';
    } else if (server.state === 'starting') {
      item.text = '$(loading~spin) Kapell';
      item.tooltip = `Kapell: ${server.place?.program ?? 'the server'} is being started`;
      item.command = 'kapell.showLog';
    } else if (server.state !== 'ready') {
      item.hide();
      return;
    } else if (needs > 0) {
      item.text = `$(bell-dot) Kapell: ${needs} need${needs === 1 ? 's' : ''} you`;
      item.tooltip = board.unseenNeeds.map((need) => `${nameOfNeed(need)}: ${need.why}`).join('\n');
      item.command = 'kapell.attention.focus';
      item.backgroundColor = new vscode.ThemeColor('statusBarItem.warningBackground');
    } else if (running.length > 0) {
      const done = running.reduce((sum, plan) => sum + plan.done, 0);
      const total = running.reduce((sum, plan) => sum + plan.total, 0);
      const paused = running.reduce((sum, plan) => sum + pausedOf(plan), 0);
      const icon = running.every(isHeldUp) ? 'debug-pause' : 'sync~spin';
      item.text = `$(${icon}) Kapell ${done}/${total}${paused > 0 ? `, ${paused} paused` : ''}`;
      item.tooltip = running.map((plan) => {
        const where = board.label(board.roomOfPlan(plan.plan_id)?.project.root);
        return `${where === '' ? '' : `${where}, `}${plan.name}: ${[`${plan.done} of ${plan.total} done`, ...standing(plan)].join(', ')}`;
      }).join('\n');
    } else {
      item.text = '$(organization) Kapell';
      item.tooltip = `${server.serverInfo}: nothing runs`;
    }
    const { warnings } = board;
    if (server.state === 'ready' && needs === 0 && warnings.length > 0) {
      item.text += ' $(warning)';
      item.tooltip = [item.tooltip, ...warnings.map(({ text }) => text)].join('\n');
      item.command = 'kapell.attention.focus';
    }
    item.show();
  };
  show();
  return vscode.Disposable.from(item, board.onChange(show), server.onState(show));
}
