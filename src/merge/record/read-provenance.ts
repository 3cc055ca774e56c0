import { join } from 'node:path';
import { readIfThere } from '../../base/store/store.ts';
import { PROVENANCE_FILE, recordBeside } from '../../checkpoints/our-files.ts';
import type { Provenance } from './provenance.ts';

/** A member takes some hundred bytes. */
const MAX_PROVENANCE_BYTES = 2 ** 26;

/**
 * The provenance in the folder of a merge, or beside a file of torch.save that is one; null where there is
 * none. Loads zod only then.
 * @throws MergeError E_PROVENANCE; E_NOT_READABLE, E_IO
 */
export async function readProvenance(path: string): Promise<Provenance | null> {
  return (await readRecord(join(path, PROVENANCE_FILE))) ?? readRecord(recordBeside(path));
}

/**
 * The provenance in a file; null where there is none.
 * @throws MergeError E_PROVENANCE; E_NOT_READABLE, E_IO
 */
export async function readRecord(file: string): Promise<Provenance | null> {
  const bytes = await readIfThere(file, MAX_PROVENANCE_BYTES);
  if (bytes === null) return null;
  const { parseProvenance } = await import('./parse-provenance.ts');
  return parseProvenance(bytes, file);
}
