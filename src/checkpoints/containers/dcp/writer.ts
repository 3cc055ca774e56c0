import { join } from 'node:path';
import { readWhole } from '../../../base/store/store.ts';
import { sectionOfName } from '../../tensors/section.ts';
import type { StoredForm, StoredObjects } from '../types.ts';
import type { DcpMetadata } from './read-metadata.ts';
import type { StateSource } from './state.ts';

/** What trainers leave beside `.metadata` is a line or two. */
const NOTE_BYTES = 2 ** 16;

/**
 * Who wrote a checkpoint: by the notes that Megatron-core and OLMo-core leave beside it, and the names that
 * torchtitan's state has. What says nothing of a trainer is torch's own.
 */
export async function formOf({ path, paths, metadata }: Pick<StateSource, 'path' | 'paths' | 'metadata'>): Promise<StoredForm> {
  const note = async (name: string): Promise<Readonly<Record<string, unknown>>> => (paths.includes(name) ? noteIn(join(path, name)) : {});
  const own = metadata.version === null ? null : `.metadata ${metadata.version}`;
  const of = (writer: string, version: string | null = null): StoredForm => ({
    kind: 'dcp',
    writer,
    version: [version, own].filter((part) => part !== null).join(', ') || null,
  });
  const { sharded_backend: backend, sharded_backend_version: version } = await note('metadata.json');
  if (typeof backend === 'string')
    return of(`Megatron-core (${backend})`, typeof version === 'number' ? `sharded_backend_version ${version}` : null);
  const { version: olmo } = await note('.metadata.json');
  if (typeof olmo === 'string') return of('OLMo-core', `version ${olmo}`);
  if (metadata.names.includes('train_state.step') || metadata.blobs.names.includes('train_state')) return of('torchtitan');
  return of('torch.distributed.checkpoint');
}

/** An object of JSON; empty where there is none, or it is something else: then it says nothing of a writer. */
async function noteIn(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const said: unknown = JSON.parse(new TextDecoder().decode(await readWhole(path, NOTE_BYTES)));
    return typeof said === 'object' && said !== null ? (said as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}

/** Items that are no tensors, by what they are of: all that is no tensor is no weight. */
export function objectsOf({ blobs: { names, items } }: DcpMetadata): StoredObjects[] {
  const totals = { optimizer: { count: 0, bytes: 0 }, blob: { count: 0, bytes: 0 } };
  for (const [i, name] of names.entries()) {
    const of = totals[sectionOfName(name) === 'optimizer' ? 'optimizer' : 'blob'];
    of.count++;
    of.bytes += items.length[i]!;
  }
  return (['optimizer', 'blob'] as const).flatMap((section) => (totals[section].count === 0 ? [] : [{ section, ...totals[section] }]));
}
