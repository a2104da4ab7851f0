// Where the program `kapell` is: the setting, then the one in the extension, then the PATH.
import { accessSync, constants, statSync } from 'node:fs';
import * as path from 'node:path';

export interface Place {
  program: string;
  by: 'setting' | 'bundled' | 'path';
}

export interface Where {
  setting: string | null | undefined;
  extension: string;
  path: string | undefined;
  platform: NodeJS.Platform;
  home?: string | undefined;
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

/** The program, or a sentence that says where it is not. */
export function locate(where: Where): Place | string {
  const name = where.platform === 'win32' ? 'kapell.exe' : 'kapell';
  const setting = where.setting?.trim();
  if (setting) {
    const named = where.home && setting.startsWith('~/') ? path.join(where.home, setting.slice(2)) : setting;
    if (isProgram(named)) return { program: named, by: 'setting' };
    // A bare name is looked for like any command. What was set and is wrong is not passed over.
    const found = named.includes('/') || named.includes(path.sep) ? undefined : onPath(named, where);
    return found ? { program: found, by: 'setting' } : `the setting kapell.server.path names ${setting}, which is no program`;
  }
  const bundled = path.join(where.extension, 'server', name);
  if (isProgram(bundled)) return { program: bundled, by: 'bundled' };
  const found = onPath(name, where);
  return found ? { program: found, by: 'path' } : `${name} is not on the PATH`;
}

function onPath(name: string, where: Where): string | undefined {
  for (const folder of (where.path ?? '').split(where.platform === 'win32' ? ';' : ':')) {
    if (folder === '') continue;
    const file = path.join(folder, name);
    if (isProgram(file)) return file;
  }
  return undefined;
}
