import { createHash } from 'node:crypto';
import { basename, resolve } from 'node:path';
import { version } from '../../base/version.ts';

/**
 * What was asked for, as it was written: a recipe, or what a study or a watch asks for, whose members are
 * chosen already.
 */
export interface AskedMerge {
  readonly outputs: readonly { readonly path: string }[];
}

/**
 * SHA-256, in hex, of what was asked for: the recipe as written, the name of one of its outputs, and the
 * version of this program. Known before any input is looked at, and the same for a run that grows meanwhile:
 * by it processes that carry out one command find each other's work. What decides the bytes of the output is
 * the plan's digest, which needs the inputs.
 *
 * @param output path of the output; only its last part counts, so that two mounts of one file system agree
 */
export function requestDigest(recipe: AskedMerge, output: string): string {
  const request = { version, output: basename(resolve(output)), recipe };
  return createHash('sha256').update(JSON.stringify(request, sortedKeys)).digest('hex');
}

/** The order in which somebody wrote the entries of an object says nothing. */
function sortedKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
