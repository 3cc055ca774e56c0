import { basename, join } from 'node:path';
import { readWhole } from '../../../base/store/store.ts';
import { sectionOfName } from '../../tensors/section.ts';
import type { StoredForm, StoredObjects } from '../types.ts';
import type { DcpMetadata } from './read-metadata.ts';
import type { StateSource } from './state.ts';

/** What trainers leave beside `.metadata` is a line or two. */
const NOTE_BYTES = 2 ** 16;

/** The folders of a model that accelerate saves, and transformers' Trainer by it. */
const ACCELERATE = /^pytorch_model_fsdp_\d+$/;

/**
 * Who wrote a checkpoint: by the notes that Megatron-core and OLMo-core leave beside it, and the names that
 * torchtitan's state and accelerate's folder have. What says nothing of a trainer is torch's own.
 * @param folder of its `.metadata`, which may lie in that of the step
 */
export async function formOf(
  { path, paths, metadata }: Pick<StateSource, 'path' | 'paths' | 'metadata'>,
  folder: string,
): Promise<StoredForm> {
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
  if (isTorchtitan(metadata)) return of('torchtitan');
  return of(ACCELERATE.test(basename(folder)) ? 'accelerate (torch.distributed.checkpoint)' : 'torch.distributed.checkpoint');
}

/**
 * Whether a state is torchtitan's: its `train_state`, and a model under no key of its own, as other trainers
 * that have such a state do not keep it. A last step, of the model alone, looks like that of any other.
 */
function isTorchtitan({ names, blobs }: DcpMetadata): boolean {
  if (!names.includes('train_state.step') && !blobs.names.includes('train_state')) return false;
  return names.some((name) => name.startsWith('tok_embeddings.')) || !names.some((name) => /^(?:model|module|state_dict|app)\./.test(name));
}

/**
 * An object of JSON; empty where there is none, or it is something else: then it says nothing of a writer.
 */
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
