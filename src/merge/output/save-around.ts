import { basename, dirname } from 'node:path';
import { containerOf } from '../../checkpoints/containers/all.ts';
import { find } from '../../checkpoints/containers/found.ts';
import { positionFromName } from '../../checkpoints/names.ts';
import type { Destination } from './destination.ts';

/** A number alone is the step of some trainers, and the name of anything else besides. */
const NUMBER = /^\d+$/;

/**
 * The checkpoint that a place lies in, although nobody named it as an input: a save of a run that is no member. Whoever
 * deletes it later deletes what lies in it. Known by its name, or because it lies beside a folder that is an input.
 * @param inputs folders that are inputs, with links followed
 */
export async function saveAround({ path, missing }: Destination, inputs: readonly string[]): Promise<string | null> {
  const homes = new Set(inputs.map(dirname));
  for (let above = dirname(path); above !== '/'; above = dirname(above)) {
    if (missing.includes(above)) continue;
    const name = basename(above);
    const named = positionFromName(name) !== null && !NUMBER.test(name);
    if ((named || homes.has(dirname(above))) && (await isCheckpoint(above))) return above;
  }
  return null;
}

async function isCheckpoint(folder: string): Promise<boolean> {
  return find(folder)
    .then(containerOf)
    .then(
      (container) => container !== undefined,
      () => false,
    );
}
