// Which files a claim's pattern is about. The server decides; this is for marks in the explorer,
// where one question for each file would be too many.

const GLOB = /[*?[{]/;

export function isGlob(pattern: string): boolean {
  return GLOB.test(pattern);
}

/** The one file that a pattern is about, where it quotes wildcards of a name: `src/[[]id[]]` is `src/[id]`. */
export function nameOfPattern(pattern: string): string | undefined {
  const name = pattern.replace(/\[([*?[\]{}])\]/g, (_, c: string) => `\0${c}`);
  // What is a wildcard still is one.
  return /(^|[^\0])[*?[{]/.test(name) ? undefined : name.replaceAll('\0', '');
}

/** A test for paths with `/`, relative to the top of the repository. */
export function matcher(pattern: string): (path: string) => boolean {
  const plain = nameOfPattern(pattern)?.replace(/\/+$/, '');
  if (plain !== undefined) {
    return (path) => path === plain || path.startsWith(`${plain}/`);
  }
  let expression: RegExp;
  try {
    expression = new RegExp(`^${translate(pattern.replace(/\/+$/, '/**'))}$`, 'u');
  } catch {
    return () => false;
  }
  return (path) => expression.test(path);
}

function translate(pattern: string): string {
  let out = '';
  let depth = 0;
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i] as string;
    if (c === '*' && pattern[i + 1] === '*') {
      const begins = i === 0 || pattern[i - 1] === '/';
      if (begins && pattern[i + 2] === '/') {
        out += '(?:[^/]+/)*';
        i += 2;
      } else {
        out += '.*';
        i += 1;
      }
    } else if (c === '*') {
      out += '[^/]*';
    } else if (c === '?') {
      out += '[^/]';
    } else if (c === '[') {
      const end = pattern.indexOf(']', pattern[i + 1] === '!' || pattern[i + 1] === '^' ? i + 3 : i + 2);
      if (end === -1) {
        out += '\\[';
      } else {
        const inside = pattern.slice(i + 1, end).replace(/[\\[\]]/g, '\\$&');
        out += `[${inside.replace(/^[!^]/, '^')}]`;
        i = end;
      }
    } else if (c === '{') {
      depth++;
      out += '(?:';
    } else if (c === '}' && depth > 0) {
      depth--;
      out += ')';
    } else if (c === ',' && depth > 0) {
      out += '|';
    } else {
      out += c.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&').replace('\\-', '-');
    }
  }
  return out + ')'.repeat(depth);
}
