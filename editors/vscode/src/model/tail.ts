// The end of a log that may be longer than an editor can show, and grows.

/** So much of it is kept (characters), and what is shown may grow to so much before it is cut again. */
export const KEEP = 1 << 20;
export const MOST = 2 << 20;
/** A log of more than so many bytes is looked for the end of, instead of being read from its beginning. */
const LONG = 4 << 20;

export interface Piece {
  text: string;
  next_offset?: number;
  ended?: boolean;
}

/** What stands in a log from a byte on: nothing past its end. */
export type Read = (offset: number) => Promise<Piece>;

/** From which byte on a log is to be read, so that its end is there and not all that came before. */
export async function whereToBegin(read: Read): Promise<number> {
  const isThere = async (offset: number): Promise<boolean> => (await read(offset)).text !== '';
  if (!(await isThere(LONG))) return 0;
  let there = LONG;
  let past = LONG * 2;
  while (await isThere(past)) {
    there = past;
    past *= 2;
  }
  while (past - there > KEEP / 2) {
    const middle = Math.floor((there + past) / 2);
    if (await isThere(middle)) there = middle;
    else past = middle;
  }
  return Math.max(0, there - KEEP);
}

export class Tail {
  private kept = '';
  private isCut: boolean;

  /** `offset` is the byte where it begins; the line in which that lies is left out. */
  constructor(private readonly offset = 0) {
    this.isCut = offset > 0;
  }

  add(text: string): void {
    const isFirst = this.kept === '';
    this.kept += isFirst && this.offset > 0 ? text.slice(text.indexOf('\n') + 1) : text;
    if (this.kept.length <= MOST) return;
    const cut = this.kept.length - KEEP;
    const end = this.kept.indexOf('\n', cut);
    this.kept = this.kept.slice(end === -1 ? cut : end + 1);
    this.isCut = true;
  }

  get text(): string {
    return this.isCut ? `… this is the end of a long log; what came before is left out …\n${this.kept}` : this.kept;
  }
}
