import { basename, join } from 'node:path';
import type { JsonObject } from '../../../base/json/parse.ts';
import type { OpenFile, Store } from '../../../base/store/types.ts';
import type { Value } from '../pickle/values.ts';
import { countOf, itemsOf, under } from '../pickle/walk.ts';
import { readArchive } from '../torch/archive.ts';
import { statedStepAmong, storedCount } from '../torch/stated-step.ts';
import { megatronArguments, megatronState } from '../torch/trainer-state.ts';
import type { ContainedState } from '../types.ts';
import { Region } from '../zip/region.ts';
import type { ItemFiles } from './item-files.ts';
import type { DcpMetadata, ItemColumns } from './read-metadata.ts';

/** What of a checkpoint may say where it stands. */
export interface StateSource {
  readonly store: Store;
  /** The folder of the checkpoint, and what lies in it and its folders. */
  readonly path: string;
  readonly paths: readonly string[];
  readonly metadata: DcpMetadata;
  readonly files: ItemFiles;
  /** Where an item lies of which the metadata says it, where that is another's; see `listed.ts`. */
  readonly place?: (item: PlacedItem) => PlacedItem;
}

/** An item in one of the files. */
export interface PlacedItem {
  readonly file: number;
  readonly offset: number;
  readonly length: number;
}

function placeOf({ place = (item) => item }: Pick<StateSource, 'place'>, items: ItemColumns, i: number): PlacedItem {
  return place({ file: items.file[i]!, offset: items.offset[i]!, length: items.length[i]! });
}

/**
 * Step and tokens as the trainer left them: torchtitan's `train_state`, Megatron-core's `common_state` (its
 * samples times its sequence length) or `common.pt` of before, OLMo-core's `train/rank0.pt`; else what stands
 * under a key that means the step of a loop, as `app.step`. Whatever classes they name: they are data here. Null
 * where there is nothing of the kind, or it cannot be read: the name counts then.
 */
export async function stateOf(source: StateSource): Promise<ContainedState | null> {
  for (const read of [torchtitan, megatron, olmoCore, anyLoop]) {
    const found = await read(source).catch(() => null);
    if (found !== null && (found.step !== null || found.tokens !== null)) return found;
  }
  return null;
}

async function torchtitan(source: StateSource): Promise<ContainedState | null> {
  const { metadata, files } = source;
  const read = async (name: string): Promise<number | null> => {
    const row = metadata.names.indexOf(name);
    const box = row < 0 ? -1 : metadata.first[row]!;
    if (box < 0 || metadata.items.file[box]! < 0) return null;
    const place = placeOf(source, metadata.items, box);
    return files.use(place.file, (opened) => numberIn(opened, place, name));
  };
  const [step, tokens] = [await read('train_state.step'), await read('train_state.ntokens_seen')];
  return step === null && tokens === null ? null : { step, tokens: tokens || null, file: files.paths[0]! };
}

/** The whole number that an item is, or that is the only element of its tensor; null where it is something else. */
async function numberIn(file: OpenFile, { offset, length }: PlacedItem, what: string): Promise<number | null> {
  const region = new Region(file, what, offset, length);
  const { root, storages } = await readArchive(region);
  return storedCount(root, region, storages);
}

/** What a script of its own keeps of its place, as a number or a tensor. */
async function anyLoop(source: StateSource): Promise<ContainedState | null> {
  const { metadata, files } = source;
  const [tensor, blob] = [statedStepAmong(metadata.names), statedStepAmong(metadata.blobs.names)];
  const ofBlob = blob.rank < tensor.rank;
  const { at } = ofBlob ? blob : tensor;
  if (at < 0) return null;
  const [items, item] = ofBlob ? [metadata.blobs.items, at] : [metadata.items, metadata.first[at]!];
  if (!(items.file[item]! >= 0)) return null;
  const place = placeOf(source, items, item);
  const step = await files.use(place.file, (opened) => numberIn(opened, place, 'step'));
  return step === null ? null : { step, tokens: null, file: files.paths[place.file]!, byKey: true };
}

async function megatron(source: StateSource): Promise<ContainedState | null> {
  return commonState(source, megatronState);
}

/**
 * Reads the arguments that Megatron was started with, which it saves with its state; null where there are
 * none, or they cannot be read.
 */
export function argumentsOf({ metadata, ...source }: StateSource): () => Promise<JsonObject | null> {
  const { store, path, paths, files } = source;
  // The metadata of many parts is not held for the sake of one.
  const blob = metadata.blobs.names.findIndex(isCommon);
  const at = blob < 0 ? null : placeOf(source, metadata.blobs.items, blob);
  return () => commonAt({ store, path, paths, files, at }, megatronArguments).catch(() => null);
}

const isCommon = (name: string): boolean => name.startsWith('common_state/');

async function commonState<T>(source: StateSource, read: (state: Value, file: string) => T): Promise<T | null> {
  const { names, items } = source.metadata.blobs;
  const blob = names.findIndex(isCommon);
  return commonAt({ ...source, at: blob < 0 ? null : placeOf(source, items, blob) }, read);
}

/** What Megatron saves of itself beside the tensors: an item, or `common.pt` of before. */
async function commonAt<T>(
  { store, path, paths, files, at }: Pick<StateSource, 'store' | 'path' | 'paths' | 'files'> & { readonly at: PlacedItem | null },
  read: (state: Value, file: string) => T,
): Promise<T | null> {
  if (at !== null) {
    return files.use(at.file, async (file) => {
      const { root } = await readArchive(new Region(file, 'common_state', at.offset, at.length), () => true);
      return read(itemsOf(root)?.[0] ?? root, file.path);
    });
  }
  if (!paths.includes('common.pt')) return null;
  return withFile(store, join(path, 'common.pt'), async (file) => {
    const { root } = await readArchive(new Region(file, 'common.pt'), () => true);
    return read(root, file.path);
  });
}

async function olmoCore({ store, path, paths }: StateSource): Promise<ContainedState | null> {
  const name = paths.filter((one) => /^train\/rank\d+\.pt$/.test(one)).sort()[0];
  if (name === undefined) return null;
  return withFile(store, join(path, name), async (file) => {
    const { root } = await readArchive(new Region(file, basename(name)), () => true);
    return { step: countOf(under(root, 'global_step')), tokens: countOf(under(root, 'global_train_tokens_seen')) || null, file: file.path };
  });
}

async function withFile<T>(store: Store, path: string, use: (file: OpenFile) => Promise<T>): Promise<T> {
  const file = await store.open(path);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}
