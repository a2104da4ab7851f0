// One icon for each state.
import * as vscode from 'vscode';

const STATES: Record<string, [icon: string, colour?: string]> = {
  waiting: ['circle-outline'],
  ready: ['circle-large-outline'],
  draft: ['circle-outline'],
  starting: ['loading~spin', 'charts.blue'],
  running: ['loading~spin', 'charts.blue'],
  busy: ['loading~spin', 'charts.blue'],
  judging: ['law', 'charts.blue'],
  landing: ['git-merge', 'charts.blue'],
  queued: ['clock'],
  approved: ['pass', 'charts.green'],
  done: ['pass-filled', 'charts.green'],
  submitted: ['pass', 'charts.green'],
  rejected: ['sync', 'kapell.needsYou'],
  failed: ['error', 'charts.red'],
  violation: ['shield', 'charts.red'],
  blocked: ['circle-slash', 'charts.red'],
  crashed: ['error', 'charts.red'],
  unhealthy: ['error', 'charts.red'],
  'timed-out': ['watch', 'charts.red'],
  stuck: ['watch', 'charts.red'],
  'rate-limited': ['watch', 'kapell.needsYou'],
  'over-budget': ['credit-card', 'kapell.needsYou'],
  approval: ['pass', 'kapell.needsYou'],
  paused: ['debug-pause', 'kapell.needsYou'],
  stopping: ['debug-stop'],
  stopped: ['debug-stop'],
  cancelled: ['circle-slash'],
  killed: ['circle-slash'],
  interrupted: ['circle-slash'],
  idle: ['circle-outline'],
};

export function iconOf(state: string): vscode.ThemeIcon {
  const [icon, colour] = STATES[state] ?? ['question'];
  return new vscode.ThemeIcon(icon, colour === undefined ? undefined : new vscode.ThemeColor(colour));
}

export const HOLDERS: Record<string, string> = { attempt: 'robot', agent: 'hubot', person: 'person' };
