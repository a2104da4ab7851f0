// All claims of a project. With each change the server tells the oldest of them; where there are more, the
// rest is asked for here, page by page, so that views and marks have them all.
import * as vscode from 'vscode';
import type { Connection } from '../server/connection';
import { nameOfPattern } from './pattern';
import { sentence } from './text';
import type { Claim, Claims, PlanStatus } from './wire';

/** Claims of one page. */
const PAGE = 500;
/** So many pages are asked for beyond what is told. */
const MOST_PAGES = 100;
/** After an answer so much time goes by until the rest is asked for again. */
const REST_MS = 1000;

/** What is known of a project's claims. */
export interface Held {
  project: { root: string };
  claims: Claim[];
  totalClaims: number;
  /** How many of them the server told, and where the rest begins, if there is any. */
  told: { count: number; cursor: string | undefined };
  snapshot: { plans: PlanStatus[] } | undefined;
}

export class ClaimPages implements vscode.Disposable {
  /** Projects whose rest is asked for or was just now, and whether it is to be asked for once more. */
  private readonly busy = new Map<string, boolean>();
  private readonly pauses = new Set<NodeJS.Timeout>();
  /** Who of the persons is the one at this window, by project and name. */
  private readonly persons = new Map<string, boolean>();

  constructor(
    private readonly server: Connection,
    private readonly find: (root: string) => Held | undefined,
    private readonly changed: (root: string) => void,
  ) {}

  /** Takes over what the server tells. What it does not name stays until it was asked for. */
  take({ root, claims, total, next_cursor: cursor }: Claims): void {
    const held = this.find(root);
    if (!held) return;
    this.learn(root, claims);
    held.told = { count: claims.length, cursor };
    held.totalClaims = total;
    held.claims = [...claims, ...(cursor === undefined ? [] : beyond(claims, held.claims))];
    this.changed(root);
    this.touch(root);
  }

  /** Something happened to claims of a project: to which is told only of those that the server names. */
  touch(root: string | undefined): void {
    if (root === undefined || this.find(root)?.told.cursor === undefined) return;
    if (this.busy.has(root)) {
      this.busy.set(root, true);
      return;
    }
    this.busy.set(root, false);
    void this.ask(root).finally(() => {
      const pause = setTimeout(() => {
        this.pauses.delete(pause);
        const isWanted = this.busy.get(root);
        this.busy.delete(root);
        if (isWanted) this.touch(root);
      }, REST_MS).unref();
      this.pauses.add(pause);
    });
  }

  private async ask(root: string): Promise<void> {
    const rest: Claim[] = [];
    try {
      let cursor = this.find(root)?.told.cursor;
      for (let page = 0; cursor !== undefined && page < MOST_PAGES; page++) {
        const answer: { claims: Claim[]; next_cursor?: string } =
          await this.server.call('status', { scope: 'claims', cursor, limit: PAGE }, root);
        rest.push(...answer.claims);
        cursor = answer.next_cursor;
      }
      const strangers = new Set<string>();
      for (const claim of rest) await this.complete(root, claim, strangers);
    } catch (error) {
      this.server.log.warn(`the rest of the claims could not be read: ${sentence(error)}`);
      return;
    }
    // What was told meanwhile is newer.
    const held = this.find(root);
    if (held?.told.cursor === undefined) return;
    const told = held.claims.slice(0, held.told.count);
    held.claims = [...told, ...beyond(told, rest)];
    this.changed(root);
  }

  /** Adds what is only told of claims that the server names by itself: whose one is, and which worker's.
   * `strangers` were asked about already, without an answer. */
  private async complete(root: string, claim: Claim, strangers: Set<string>): Promise<void> {
    const { holder, holder_kind: kind } = claim;
    if (kind === 'attempt') {
      claim.attempt = holder;
      const tasks = this.find(root)?.snapshot?.plans.flatMap((plan) => plan.tasks) ?? [];
      const worker = tasks.find(({ attempt }) => attempt === holder)?.worker;
      if (worker !== undefined) claim.worker = worker;
    }
    if (kind !== 'person') return;
    const file = nameOfPattern(claim.pattern);
    if (!this.persons.has(`${root} ${holder}`) && !strangers.has(holder) && file !== undefined) {
      strangers.add(holder);
      const { claims } = await this.server.owner(vscode.Uri.joinPath(vscode.Uri.parse(root), file));
      this.learn(root, claims);
    }
    claim.own = this.persons.get(`${root} ${holder}`) ?? false;
  }

  private learn(root: string, claims: Claim[]): void {
    for (const { holder, holder_kind: kind, own } of claims) {
      if (kind === 'person' && own !== undefined) this.persons.set(`${root} ${holder}`, own);
    }
  }

  /** The server is another one: the person may go by another name there. */
  forget(): void {
    this.persons.clear();
  }

  dispose(): void {
    for (const pause of this.pauses) clearTimeout(pause);
  }
}

/** Those that come after the last of what is told: claims come in the order of their numbers. */
function beyond(told: Claim[], claims: Claim[]): Claim[] {
  const last = told.at(-1)?.claim_id ?? 0;
  return claims.filter(({ claim_id }) => claim_id > last);
}
