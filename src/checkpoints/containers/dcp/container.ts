import { join } from 'node:path';
import { MergeError } from '../../../base/errors.ts';
import { readWhole } from '../../../base/store/store.ts';
import type { OpenCache } from '../open-cache.ts';
import { MAX_PICKLE_BYTES } from '../pickle/limits.ts';
import type { Container, Found, Opened } from '../types.ts';
import { ItemFiles } from './item-files.ts';
import { KnownMetadata } from './known-metadata.ts';
import { ListedCheckpoints, type ReadCheckpoint } from './listed.ts';
import type { DcpMetadata } from './read-metadata.ts';
import { argumentsOf, stateOf } from './state.ts';
import { tensorsOf } from './tensors.ts';
import { formOf, objectsOf } from './writer.ts';

const METADATA = '.metadata';
/** Written while a save goes on, and renamed at its end. */
const UNFINISHED = '.metadata.tmp';
/** A file of items. */
const ITEMS = /^__\d+_\d+\.distcp$/;
/** What each rank says of its own items, where they were saved without speaking to one another. */
const OF_RANK = /^__\d+\.metadata$/;
/** Folders beside the model's that trainers save in the same form. */
const NOT_THE_MODEL = /^(?:optim|lr_sched|sched|rng|random|dataloader|critic|ref|reward|value)/;

/**
 * A checkpoint of torch.distributed: `.metadata`, a pickle that says which boxes of which tensors lie where,
 * and files of items, each an archive of torch.save. torchtitan, OLMo-core and Megatron-core save it.
 */
export const dcp: Container = {
  kind: 'DCP',
  recognise: async (found) => (await folderOf(found)) !== null,
  async open(found, cache): Promise<Opened> {
    return (await read(found, cache)).opened;
  },
  list: (found, cache, named) => cache.of(ListedCheckpoints).find(found, named, () => read(found, cache)),
};

async function read(found: Found, cache: OpenCache): Promise<ReadCheckpoint> {
  const inner = (await folderOf(found))!;
  const folder = join(found.path, inner);
  const { store } = found;
  const path = join(folder, METADATA);
  const names = new Set((await store.list(folder))?.map(({ name }) => name));
  refuseWithoutMetadata(folder, names);
  const head = { name: join(inner, METADATA), path, stat: await store.stat(path) };
  const bytes = await readWhole(path, MAX_PICKLE_BYTES);
  const metadata = cache.of(KnownMetadata).read(bytes, path);
  for (const name of metadata.files) checkFileName(path, name, names);
  const files = await ItemFiles.of(store, folder, metadata.files);
  const source = { store, path: found.path, paths: await found.paths(), metadata, files };
  const [state, form] = [await stateOf(source), await formOf(source, folder)];
  const tensors = await tensorsOf(path, inner, metadata, files, cache).catch((error: unknown) => otherItems(error, metadata, files));
  const opened = {
    ...tensors,
    form,
    objects: objectsOf(metadata),
    heads: [head],
    arguments: argumentsOf(source),
    ...(state !== null && { state }),
  };
  return { opened, metadata, bytes, inner };
}

/** Faults that other items than those of torch.save have. */
const OTHER_ITEMS: ReadonlySet<string> = new Set(['E_OVERLAP', 'E_ZIP']);

/**
 * With another format of torch's writer the places of tensors are those of one image of all, and mean
 * nothing.
 * @throws MergeError E_DCP for such items; else the fault that was found
 */
async function otherItems(error: unknown, { items }: DcpMetadata, files: ItemFiles): Promise<never> {
  if (!(error instanceof MergeError) || !OTHER_ITEMS.has(error.code)) throw error;
  const path = error.details.file;
  const number = files.paths.indexOf(path ?? '');
  const offset = items.offset[items.file.indexOf(number)] ?? 0;
  const start = Buffer.alloc(16);
  await files.use(Math.max(0, number), (file) => file.read(start, offset)).catch(() => 0);
  // The header of safetensors, and its length before it.
  if (start[8] !== 0x7b || start.readUInt32LE(4) !== 0) throw error;
  const message = `${path}, byte ${offset}: its items are no archives of torch.save: it was saved with SerializationFormat.SAFETENSORS, whose places are not those of its tensors`;
  throw new MergeError('E_DCP', message, {
    details: error.details,
    help: "Save it again with torch.distributed.checkpoint's own format, or with HuggingFaceStorageWriter.",
    cause: error,
  });
}

/** The folder of the checkpoint below a path: '' for itself, null where there is none. */
async function folderOf({ entries, paths }: Found): Promise<string | null> {
  if (entries === null) return null;
  if ([...entries.keys()].some(isPart)) return '';
  const inner = new Set<string>();
  for (const path of await paths()) {
    const [folder, name] = path.split('/');
    if (name !== undefined && isPart(name) && !NOT_THE_MODEL.test(folder!)) inner.add(folder!);
  }
  const [only, other] = inner;
  return other === undefined ? (only ?? null) : null;
}

function isPart(name: string): boolean {
  return name === METADATA || name === UNFINISHED || ITEMS.test(name);
}

/** @throws MergeError for a folder that has items and says nowhere what they are */
function refuseWithoutMetadata(folder: string, names: ReadonlySet<string>): void {
  if (names.has(METADATA)) return;
  const file = join(folder, METADATA);
  if ([...names].some((name) => OF_RANK.test(name))) {
    throw new MergeError('E_DCP', `${file}: is not there, and each rank describes its own items: it was saved with use_collectives=False`, {
      details: { file },
      help: 'Load it with torch.distributed.checkpoint, and save it again without that option.',
    });
  }
  throw new MergeError('E_SHARD_MISSING', `${file}: is not there: the save goes on, or was broken off`, { details: { file } });
}

function checkFileName(metadata: string, name: string, there: ReadonlySet<string>): void {
  const plain = name !== '' && !/[/\\\0]/.test(name) && name !== '.' && name !== '..';
  if (!plain)
    throw new MergeError('E_INDEX_PATH', `${metadata}: names the file ${JSON.stringify(name)}, which is no plain name`, {
      details: { file: metadata },
    });
  if (there.has(name)) return;
  throw new MergeError('E_SHARD_MISSING', `${metadata} names ${name}, and it is not there`, { details: { file: metadata } });
}
