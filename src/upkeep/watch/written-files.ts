import { basename, dirname, join, relative, resolve } from 'node:path';
import type { HeldFolder } from '../../base/disk/held-folder.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { writeNewFile } from '../../base/disk/own-file.ts';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { readStart } from '../../base/store/store.ts';

/** What the scripts of a watch begin with, by which it knows its own. */
export const SCRIPT_START = '#!/bin/sh\n# Written by ckpt-merge';

/**
 * A script that does its work from the folder that it lies in, wherever it is run from.
 * @param about what it does, each a line of a comment
 */
export function scriptText(about: readonly [string, ...string[]], lines: readonly string[]): string {
  const [first, ...more] = about;
  return `${[
    `${SCRIPT_START} (merge watch). ${first}`,
    ...more.map((line) => `# ${line}`),
    // Not by `dirname` in $( ), which loses newlines at a name's end; nor by a CDPATH of the user's.
    `case $0 in */*) CDPATH= cd -- "\${0%/*}/" || exit 1 ;; esac`,
    ...lines,
  ].join('\n')}\n`;
}

/** Paths as a script in that folder has them, whatever links lead to it and to them. */
export async function pathsFrom(folder: string, paths: readonly string[]): Promise<string[]> {
  const real = (path: string): Promise<string> => SYSTEM.fs.realpath(path).catch(() => resolve(path));
  const from = await real(folder);
  const homes = new Map<string, string>();
  for (const home of new Set(paths.map(dirname))) homes.set(home, relative(from, await real(home)));
  return paths.map((path) => join(homes.get(dirname(path))!, basename(path)));
}

function occupied(file: string): MergeError {
  return new MergeError('E_OUTPUT_EXISTS', `${file} is not of a watch, and would be replaced`, {
    details: { file },
    help: 'Move it away, or watch into another folder.',
  });
}

/** Files in the folder of a watch that are written anew and whole, and replace nobody else's. */
export class WrittenFiles {
  readonly #output: string;
  readonly #folder: HeldFolder;

  private constructor(output: string, folder: HeldFolder) {
    this.#output = output;
    this.#folder = folder;
  }

  /**
   * @param folder that of the watch's lock
   * @param starts what each begins with
   * @throws MergeError E_OUTPUT_EXISTS where somebody else's file lies where one is to be
   */
  static async of(output: string, folder: HeldFolder, starts: Readonly<Record<string, string>>): Promise<WrittenFiles> {
    for (const [name, start] of Object.entries(starts)) {
      const path = join(output, name);
      const there = await SYSTEM.fs.lstat(path).catch(() => null);
      if (there === null) continue;
      const begins = there.isFile() ? await readStart(path, start.length).catch(() => null) : null;
      if (begins?.toString('latin1') !== start) throw occupied(path);
    }
    return new WrittenFiles(output, folder);
  }

  /** @throws MergeError of the side of outputs */
  async replace(name: string, text: string): Promise<void> {
    const path = join(this.#output, name);
    const draft = this.#folder.at(`${name}.draft`);
    await onOutput('write', path, async () => {
      try {
        await removeTree(SYSTEM, draft);
        await writeNewFile(SYSTEM, draft, text);
        await SYSTEM.fs.rename(draft, path);
      } finally {
        await removeTree(SYSTEM, draft);
      }
    });
  }
}
