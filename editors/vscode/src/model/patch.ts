// A unified diff, as Git writes it: which files it is about.

export interface FileChange {
  /** Where the file is afterwards, or was where it is gone. */
  path: string;
  /** Where it was, if elsewhere. */
  oldPath?: string;
  kind: 'added' | 'deleted' | 'changed' | 'renamed';
  binary: boolean;
}

/** A name that Git put into quotes, or not. */
function unquote(name: string): string {
  if (!name.startsWith('"')) return name;
  const bytes: number[] = [];
  const inside = name.slice(1, name.lastIndexOf('"'));
  const named: Record<string, number> = { n: 10, t: 9, r: 13, a: 7, b: 8, f: 12, v: 11 };
  for (let i = 0; i < inside.length; i++) {
    if (inside[i] !== '\\') {
      bytes.push(...Buffer.from(inside[i] as string, 'utf8'));
      continue;
    }
    const octal = /^[0-7]{3}/.exec(inside.slice(i + 1));
    if (octal) {
      bytes.push(parseInt(octal[0], 8));
      i += 3;
    } else {
      const c = inside[i + 1] ?? '';
      bytes.push(named[c] ?? c.charCodeAt(0));
      i += 1;
    }
  }
  return Buffer.from(bytes).toString('utf8');
}

function side(line: string): string | undefined {
  const name = unquote(line.slice(4).replace(/\t$/, ''));
  return name === '/dev/null' ? undefined : name.replace(/^[abciow]\//, '');
}

export function parsePatch(text: string): FileChange[] {
  const files: FileChange[] = [];
  let file: FileChange | undefined;
  /** Lines that are left of a hunk: they are content, whatever they look like. */
  let left = { old: 0, new: 0 };
  for (const line of text.split('\n')) {
    if (left.old > 0 || left.new > 0) {
      const mark = line[0] ?? ' ';
      if (mark === '\\') continue;
      if (mark !== '+') left.old--;
      if (mark !== '-') left.new--;
      continue;
    }
    if (line.startsWith('diff --git ')) {
      const names = /^diff --git (?:"?a\/(.*?)"?) (?:"?b\/(.*?)"?)$/.exec(line);
      file = { path: names?.[2] ?? '', kind: 'changed', binary: false };
      files.push(file);
    } else if (!file) {
      continue;
    } else if (line.startsWith('new file mode')) {
      file.kind = 'added';
    } else if (line.startsWith('deleted file mode')) {
      file.kind = 'deleted';
    } else if (line.startsWith('rename from ')) {
      file.kind = 'renamed';
      file.oldPath = unquote(line.slice('rename from '.length));
    } else if (line.startsWith('rename to ')) {
      file.path = unquote(line.slice('rename to '.length));
    } else if (line.startsWith('Binary files ') || line.startsWith('GIT binary patch')) {
      file.binary = true;
    } else if (line.startsWith('--- ')) {
      const old = side(line);
      if (old !== undefined && file.kind === 'deleted') file.path = old;
    } else if (line.startsWith('+++ ')) {
      const now = side(line);
      if (now !== undefined) file.path = now;
    } else {
      const at = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(line);
      if (at) left = { old: Number(at[1] ?? 1), new: Number(at[2] ?? 1) };
    }
  }
  return files;
}
