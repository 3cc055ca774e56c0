import { join } from 'node:path';
import { readIfThere } from '../../base/store/store.ts';
import { PROVENANCE_FILE } from '../../checkpoints/our-files.ts';
import type { Provenance } from './provenance.ts';

/** A member takes some hundred bytes. */
const MAX_PROVENANCE_BYTES = 2 ** 26;

/**
 * The provenance in the folder of a merge; null where there is none. Loads zod only then.
 * @throws MergeError E_PROVENANCE; E_NOT_READABLE, E_IO
 */
export async function readProvenance(folder: string): Promise<Provenance | null> {
  const file = join(folder, PROVENANCE_FILE);
  const bytes = await readIfThere(file, MAX_PROVENANCE_BYTES);
  if (bytes === null) return null;
  const { parseProvenance } = await import('./parse-provenance.ts');
  return parseProvenance(bytes, file);
}
