import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MergeError } from '../../src/base/errors.ts';
import type { Random } from '../../src/base/numbers/random.ts';
import { jsonMutator, type Mutator, pick } from './mutate.ts';

/** A kind of document, and all that reads it. */
export interface DocumentReader {
  readonly name: string;
  readonly mutate: Mutator;
  /** @param folder of the reader's own, the same for every document */
  readonly read: (text: string, folder: string, random: Random) => Promise<unknown>;
  /** A document takes long to be carried through: one of so many goes all the way. */
  readonly seldom?: number;
}

const made = new Set<string>();

/** Reads what was written under a name in the reader's folder. */
export function written(name: string, read: (path: string, folder: string) => Promise<unknown>): DocumentReader['read'] {
  return (text, folder) => {
    const path = join(folder, name);
    if (!made.has(path)) mkdirSync(join(path, '..'), { recursive: true });
    made.add(path);
    writeFileSync(path, text);
    return read(path, folder);
  };
}

export const inMemory =
  (read: (text: string) => unknown): DocumentReader['read'] =>
  async (text) =>
    read(text);

export const oneOf =
  (samples: readonly unknown[]): Mutator =>
  (random) =>
    pick(random, mutatorsOf(samples))(random);
const known = new Map<unknown, readonly Mutator[]>();
function mutatorsOf(samples: readonly unknown[]): readonly Mutator[] {
  const found = known.get(samples) ?? samples.map(jsonMutator);
  known.set(samples, found);
  return found;
}

/** What may be refused, but with a designed error alone. */
export async function refusedAtMost(work: () => Promise<unknown>): Promise<string | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (error instanceof MergeError && error.code !== 'E_INTERNAL') return error.code;
    throw error;
  }
}
