import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

/** Whether what a descriptor writes to is a file that is empty or ends with a line. */
export function endsLine(descriptor: number): boolean {
  try {
    const found = fstatSync(descriptor);
    if (!found.isFile()) return false;
    const { size } = found;
    const last = Buffer.alloc(1);
    // Opened anew: what a shell redirects is open for writing only.
    const file = openSync(`/proc/self/fd/${descriptor}`, 'r');
    try {
      return size === 0 || (readSync(file, last, 0, 1, size - 1) === 1 && last[0] === 0x0a);
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
}
