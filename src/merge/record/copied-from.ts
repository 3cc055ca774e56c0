import { openCheckpoint } from '../../checkpoints/open.ts';
import { METADATA_KEY } from '../../checkpoints/our-files.ts';
import type { Provenance } from './provenance.ts';
import { readProvenance } from './read-provenance.ts';

/**
 * The fingerprint of the checkpoint that one is a copy of, byte for byte, in another container and without the
 * trainer's state; null for everything that is no such copy, or whose record cannot be read.
 */
export async function copiedFrom(path: string): Promise<string | null> {
  const record = await (path.endsWith('.safetensors') ? recordInside(path) : readProvenance(path)).catch(() => null);
  if (record === null) return null;
  const { method, dtype, names, members } = record.recipe;
  return method === 'convert' && dtype === null && names === undefined && members.length === 1 ? members[0]!.fingerprint : null;
}

/** A file of safetensors holds its record itself. */
async function recordInside(path: string): Promise<Provenance | null> {
  const text = (await openCheckpoint(path)).shards[0]?.metadata?.get(METADATA_KEY);
  if (text === undefined) return null;
  const { parseProvenance } = await import('./parse-provenance.ts');
  return parseProvenance(Buffer.from(text), path);
}
