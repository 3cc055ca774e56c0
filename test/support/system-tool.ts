import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Where coreutils lie when a trimmed PATH leaves some of them out. */
const USUAL = ['/usr/bin', '/bin'];

/**
 * Path of a tool that every Linux and macOS has. @throws Error where it is neither on PATH nor in the usual
 * places.
 */
export function systemTool(name: string): string {
  for (const folder of [...(process.env.PATH ?? '').split(':'), ...USUAL])
    if (folder !== '' && existsSync(join(folder, name))) return join(folder, name);
  throw new Error(`this test needs ${name}`);
}
