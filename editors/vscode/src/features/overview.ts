// The whole work in the status bar.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { nameOfNeed } from '../model/needs';
import type { Connection } from '../server/connection';

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
      const isAtWork = running.some((plan) => plan.state === 'running');
      item.text = `$(${isAtWork ? 'sync~spin' : 'debug-pause'}) Kapell ${done}/${total}`;
      item.tooltip = running.map((plan) => {
        const where = board.label(board.roomOfPlan(plan.plan_id)?.project.root);
        return `${where === '' ? '' : `${where}, `}${plan.name}: ${plan.done} of ${plan.total} done`;
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
