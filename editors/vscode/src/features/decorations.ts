// Marks in the explorer: two letters of the holder on what others hold, a dot on one's own.
import * as vscode from 'vscode';
import type { Board, Room } from '../model/board';
import { matcher } from '../model/pattern';
import { ago, holderOf, initials, nameOf } from '../model/text';
import type { Claim } from '../model/wire';
import type { Ownership } from './ownership';

/** Files whose marks may change at once; beyond that all are asked for again. */
const MOST_URIS = 200;

export class Decorations implements vscode.FileDecorationProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<vscode.Uri | vscode.Uri[] | undefined>();
  private readonly subscriptions: vscode.Disposable[];
  private claims = new Map<Room, { claim: Claim; owns: (path: string) => boolean }[]>();
  private readonly shown = new Map<string, vscode.Uri>();

  readonly onDidChangeFileDecorations = this.changed.event;

  constructor(private readonly board: Board, private readonly ownership: Ownership) {
    this.subscriptions = [
      this.changed,
      board.onClaims(() => {
        this.claims = new Map(board.rooms.map((room) => [
          room, room.claims.map((claim) => ({ claim, owns: matcher(claim.pattern) })),
        ]));
        this.redraw();
      }),
      board.onMinute(() => this.redraw()),
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration('kapell.decorations')) this.redraw();
      }),
      vscode.window.registerFileDecorationProvider(this),
    ];
  }

  private redraw(): void {
    const uris = [...this.shown.values()];
    this.changed.fire(uris.length === 0 || uris.length > MOST_URIS ? undefined : uris);
  }

  provideFileDecoration(uri: vscode.Uri): vscode.ProviderResult<vscode.FileDecoration> {
    if (uri.scheme !== 'file') return undefined;
    this.shown.set(uri.toString(), uri);
    if (!vscode.workspace.getConfiguration('kapell').get('decorations', true)) return undefined;
    const place = this.board.place(uri);
    if (!place || place.path === '') return undefined;
    const claims = this.claims.get(place.room) ?? [];
    const found = claims.filter(({ owns }) => owns(place.path)).map(({ claim }) => claim);
    if (found.length > 0 || place.room.totalClaims <= place.room.claims.length) return markOf(found);
    // The server names only so many claims: beyond them it is asked of each file that is shown.
    return this.ownership.of(uri).then((owner) => markOf(owner?.claims ?? []));
  }

  dispose(): void {
    for (const one of this.subscriptions) one.dispose();
  }
}

function markOf(found: Claim[]): vscode.FileDecoration | undefined {
  const held = found.find((claim) => !claim.own);
  if (held) {
    return new vscode.FileDecoration(
      initials(nameOf(held)), `held by ${holderOf(held)}, ${ago(held.since, Date.now())}`,
      new vscode.ThemeColor('kapell.held'),
    );
  }
  if (found.length > 0) return new vscode.FileDecoration('●', 'held by you', new vscode.ThemeColor('kapell.own'));
  return undefined;
}
