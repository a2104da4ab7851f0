// Who holds what.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { nameOfPattern } from '../model/pattern';
import { ago, brief, holderOf } from '../model/text';
import type { Claim } from '../model/wire';
import { HOLDERS } from './icons';
import { Node } from './node';
import { Tree } from './tree';

export class ClaimsTree extends Tree {
  constructor(board: Board) {
    super(board);
    this.subscriptions.push(board.onClaims(() => this.redraw()), board.onMinute(() => this.redraw()));
  }

  override rows(project?: Node): Node[] {
    return this.byProject(project, ({ claims, totalClaims }) => {
      const rows = claims.map((claim) => claimNode(claim));
      if (totalClaims > claims.length) rows.push(moreNode(totalClaims - claims.length));
      return rows;
    });
  }
}

function claimNode(claim: Claim): Node {
  const name = nameOfPattern(claim.pattern);
  const row = new Node({ kind: 'claim', id: String(claim.claim_id), claim }, name ?? claim.pattern);
  row.id = `claim:${claim.claim_id}`;
  row.description = [
    claim.own ? 'you' : brief(claim),
    claim.mode === 'shared' ? 'shared' : '',
    ago(claim.since, Date.now()),
  ].filter((part) => part !== '').join(', ');
  const colour = new vscode.ThemeColor(claim.own ? 'kapell.own' : 'kapell.held');
  row.iconPath = new vscode.ThemeIcon(HOLDERS[claim.holder_kind] ?? 'lock', colour);
  const file = name === undefined ? '' : '+file';
  row.contextValue = `claim.${claim.own ? 'own' : claim.holder_kind}${file}`;
  row.tooltip = `${claim.pattern}: ${holderOf(claim)}, ${claim.mode}, since ${claim.since}`;
  if (file !== '') {
    row.command = { command: 'kapell.openClaimed', title: 'Open File', arguments: [row] };
  }
  return row;
}

/** What the server does not name any more. */
function moreNode(count: number): Node {
  const row = new Node({ kind: 'more', id: 'more' }, `and ${count} more`);
  row.id = 'more';
  row.tooltip = 'kapell status --scope claims tells them all. Who holds a file stands in the status bar once it is open.';
  row.contextValue = 'more';
  return row;
}
