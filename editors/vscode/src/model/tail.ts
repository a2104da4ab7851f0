// The end of a log that may be longer than an editor can show, and grows.
import { bytes } from './text';

/** So much of it is kept (characters), and what is shown may grow to so much before it is cut again. An editor
 * on a busy machine took four seconds to replace a megabyte, with each line that came. */
export const KEEP = 1 << 18;
export const MOST = 1 << 19;

/** Where a log of so many bytes is read from at first: from its beginning, or so many bytes before its end. */
export function whereToBegin(size: number): number {
  return size > MOST ? -KEEP : 0;
}

export interface Piece {
  text: string;
  /** How many bytes the log has by now. */
  size?: number;
}

export class Tail {
  private kept = '';
  /** How many bytes before what is kept are not there. */
  private leftOut: number | undefined;

  /** `begin` is where the first piece is read from. */
  constructor(private readonly begin = 0) {}

  add({ text, size = 0 }: Piece): void {
    this.leftOut ??= this.begin < 0 ? Math.max(0, size + this.begin) : 0;
    this.kept += text;
    if (this.kept.length <= MOST) return;
    const cut = this.kept.length - KEEP;
    const end = this.kept.indexOf('\n', cut);
    const begin = end === -1 ? cut : end + 1;
    this.leftOut += Buffer.byteLength(this.kept.slice(0, begin));
    this.kept = this.kept.slice(begin);
  }

  get text(): string {
    const { leftOut = 0, kept } = this;
    return leftOut > 0 ? `… this is the end of a long log; ${bytes(leftOut)} before it are left out …\n${kept}` : kept;
  }
}
