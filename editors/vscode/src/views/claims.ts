// Who holds what.
import * as vscode from 'vscode';
import type { Board } from '../model/board';
import { isGlob } from '../model/pattern';
import { ago, brief, holderOf } from '../model/text';
import { HOLDERS } from './icons';
import { Node } from './node';
import { Tree } from './tree';

export class ClaimsTree extends Tree {
  constructor(board: Board) {
    super(board);
    this.subscriptions.push(board.onClaims(() => this.redraw()));
  }

  override rows(project?: Node): Node[] {
    return this.byProject(project, ({ claims }) => claims.map((claim) => {
      const row = new Node({ kind: 'claim', id: String(claim.claim_id), claim }, claim.pattern);
      row.id = `claim:${claim.claim_id}`;
      row.description = [
        claim.own ? 'you' : brief(claim),
        claim.mode === 'shared' ? 'shared' : '',
        ago(claim.since, Date.now()),
      ].filter((part) => part !== '').join(', ');
      const colour = new vscode.ThemeColor(claim.own ? 'kapell.own' : 'kapell.held');
      row.iconPath = new vscode.ThemeIcon(HOLDERS[claim.holder_kind] ?? 'lock', colour);
      const file = isGlob(claim.pattern) || claim.pattern.endsWith('/') ? '' : '+file';
      row.contextValue = `claim.${claim.own ? 'own' : claim.holder_kind}${file}`;
      row.tooltip = `${claim.pattern}: ${holderOf(claim)}, ${claim.mode}, since ${claim.since}`;
      if (file !== '') {
        row.command = { command: 'kapell.openClaimed', title: 'Open File', arguments: [row] };
      }
      return row;
    }));
  }
}
