// The stream of events as an output channel, and which of them are told.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { concernOf } from '../model/needs';
import type { Event } from '../model/wire';

/** So many of the person's own claims are remembered beyond their end. */
const MOST_OWN = 2000;
/** A plan that fails so soon after one of its tasks was told to have failed is no news. */
const SAME_NEWS_MS = 10_000;

function line(event: Event, where: string): string {
  return `${event.seq} ${where === '' ? '' : `${where} `}${event.kind}${event.plan_id === undefined ? '' : ` ${event.plan_id}`}: ${event.text}`;
}

export function eventStream(board: Board, channel: vscode.LogOutputChannel): vscode.Disposable {
  const news = new News(board);
  return vscode.Disposable.from(
    news,
    board.onEvent((event) => {
      const where = board.label(event.root);
      if (concernOf(event) === 'needs-you') channel.warn(line(event, where));
      else channel.info(line(event, where));
      void tell(event, news.of(event), where);
    }),
  );
}

type Kind = 'taken' | 'asked' | 'approval' | 'needs-you' | 'finished';

/** Which events are news to this person. */
export class News implements vscode.Disposable {
  /** The person's claims, also those that are no more: who lost one is told of it. */
  private readonly own = new Set<number>();
  private readonly failed = new Map<string, number>();
  private readonly listens: vscode.Disposable;

  constructor(board: Board) {
    this.listens = board.onClaims(() => {
      for (const claim of board.claims) if (claim.own) this.own.add(claim.claim_id);
      for (const id of [...this.own].slice(0, Math.max(0, this.own.size - MOST_OWN))) this.own.delete(id);
    });
  }

  of(event: Event, now = Date.now()): Kind | undefined {
    const { kind, data, plan_id: plan } = event;
    // Of what happens between others the list of claims tells.
    if (kind === 'claim.taken') return this.own.has(Number(data?.['claim'])) ? 'taken' : undefined;
    if (kind === 'claim.asked') {
      const claims = data?.['claims'];
      return Array.isArray(claims) && claims.some((id) => this.own.has(Number(id))) ? 'asked' : undefined;
    }
    const concern = concernOf(event);
    if (concern !== 'needs-you') return concern;
    if (kind === 'stage.state' && data?.['to'] === 'approval') return 'approval';
    if (plan !== undefined) {
      if (kind === 'plan.state' && now - (this.failed.get(plan) ?? -Infinity) < SAME_NEWS_MS) return undefined;
      this.failed.set(plan, now);
    }
    return concern;
  }

  dispose(): void {
    this.listens.dispose();
  }
}

async function tell(event: Event, kind: Kind | undefined, where: string): Promise<void> {
  const how = vscode.workspace.getConfiguration('kapell').get<string>('notifications', 'needsYou');
  if (how === 'none' || kind === undefined) return;
  const begin = `Kapell${where === '' ? '' : ` in ${where}`}`;
  const text = `${begin}: ${event.text}`;
  if (kind === 'taken') {
    void vscode.window.showWarningMessage(text);
  } else if (kind === 'asked') {
    void vscode.window.showInformationMessage(text);
  } else if (kind === 'approval') {
    const stage = String(event.data?.['stage']);
    const answer = await vscode.window.showWarningMessage(
      `${begin}: stage ${stage} of ${event.plan_id} waits for your approval.`, 'Approve', 'Refuse', 'Show',
    );
    const about = { plan_id: event.plan_id, stage, root: event.root };
    if (answer === 'Approve') await vscode.commands.executeCommand('kapell.approveStage', about);
    if (answer === 'Refuse') await vscode.commands.executeCommand('kapell.refuseStage', about);
    if (answer === 'Show') await vscode.commands.executeCommand('kapell.attention.focus');
  } else if (kind === 'needs-you') {
    const buttons = event.attempt === undefined ? ['Show'] : ['Show', 'Log'];
    const answer = await vscode.window.showWarningMessage(text, ...buttons);
    if (answer === 'Show') await vscode.commands.executeCommand('kapell.attention.focus');
    if (answer === 'Log') await vscode.commands.executeCommand('kapell.openLog', event.attempt);
  } else if (how === 'all' || event.kind === 'plan.state') {
    const answer = await vscode.window.showInformationMessage(text, 'Show');
    if (answer === 'Show') await vscode.commands.executeCommand('kapell.plans.focus');
  }
}
