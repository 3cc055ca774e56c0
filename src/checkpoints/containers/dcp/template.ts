import { join } from 'node:path';
import { MergeError } from '../../../base/errors.ts';
import { readWhole, storeOf } from '../../../base/store/store.ts';
import type { TensorFile } from '../../tensors/types.ts';
import { MAX_PICKLE_BYTES } from '../pickle/limits.ts';
import { readPickle } from '../pickle/read-pickle.ts';
import type { Call } from '../pickle/values.ts';
import { readZip } from '../zip/read-zip.ts';
import { Region } from '../zip/region.ts';
import { isOfMetadata } from './allowed.ts';
import { KnownMetadata } from './known-metadata.ts';
import type { DcpMetadata } from './read-metadata.ts';
import type { ItemForm } from './write-item.ts';

/** A checkpoint of DCP, in the form of which another one can be written. */
export interface DcpTemplate {
  /** What `.metadata` holds, as it stands. */
  readonly root: Call;
  readonly metadata: DcpMetadata;
  readonly form: ItemForm;
  /** The folder of the checkpoint in which all of this lies: '' for its own. */
  readonly folder: string;
  /** Small files beside it without which its trainer does not take it for a checkpoint. */
  readonly beside: readonly { readonly name: string; readonly path: string; readonly bytes: number }[];
}

/** Of Megatron-core (`common.pt` until 0.18), of OLMo-core, and of Lightning, whose loops and schedulers it holds. */
const BESIDE = /^(?:metadata\.json|common\.pt|\.metadata\.json|meta\.pt)$/;

/** Whether a file beside the items is one that is written with them: a trainer's mark, or a checksum of others. */
export function isWrittenBeside(name: string): boolean {
  return BESIDE.test(name) || name === 'integrity.json';
}

/** Files of an item that are a few bytes; the tensor's are `data.pkl` and `data/0`. */
const MAX_SMALL = 4096;

/** Templates of the checkpoints of a merge: several of its outputs ask for the same. */
export class DcpTemplates {
  readonly #read = new Map<string, Promise<DcpTemplate>>();
  readonly #known: KnownMetadata;

  constructor(known: KnownMetadata) {
    this.#known = known;
  }

  /** @throws what {@link readTemplate} throws */
  of(checkpoint: Parameters<typeof readTemplate>[0]): Promise<DcpTemplate> {
    const known = this.#read.get(checkpoint.path) ?? readTemplate(checkpoint, this.#known);
    this.#read.set(checkpoint.path, known);
    return known;
  }
}

/**
 * Reads the form in which a checkpoint of DCP was written.
 * @throws MergeError E_DCP where it holds no tensor whose item could be a pattern, or one of another form;
 * what reading
 *   throws
 */
export async function readTemplate(
  { heads, path }: { readonly heads: readonly TensorFile[]; readonly path: string },
  known = new KnownMetadata(),
): Promise<DcpTemplate> {
  const head = heads[0]!;
  const bytes = await readWhole(head.path, MAX_PICKLE_BYTES);
  const root = readPickle(bytes, { path: head.path, what: '.metadata' }, isOfMetadata) as Call;
  const metadata = known.read(bytes, head.path);
  const folder = head.name === '.metadata' ? '' : head.name.slice(0, -'/.metadata'.length);
  const { items, files } = metadata;
  const item = items.file.findIndex((file) => file >= 0);
  if (item < 0) throw new MergeError('E_DCP', `${head.path}: describes no tensor`, { details: { file: head.path } });
  const at = join(path, folder, files[items.file[item]!]!);
  const file = await storeOf(at).open(at);
  try {
    const form = await formOf(new Region(file, 'an item', items.offset[item]!, items.length[item]!));
    return { root, metadata, folder, form, beside: await besideOf(path) };
  } finally {
    await file.close();
  }
}

async function besideOf(folder: string): Promise<DcpTemplate['beside']> {
  const store = storeOf(folder);
  const names = ((await store.list(folder)) ?? []).flatMap(({ name }) => (BESIDE.test(name) ? [name] : [])).sort();
  return Promise.all(
    names.map(async (name) => {
      const path = join(folder, name);
      return { name, path, bytes: (await store.stat(path)).size };
    }),
  );
}

async function formOf(region: Region): Promise<ItemForm> {
  const entries = await readZip(region);
  const root = entries[0]!.name.split('/')[0]!;
  const files = await Promise.all(
    entries.map(async ({ name, offset, size }) => {
      const own = name.slice(root.length + 1);
      if (own === 'data.pkl' || own === 'data/0') return { name: own, bytes: new Uint8Array() };
      if (size > MAX_SMALL || own.startsWith('data/')) {
        const message = `${region.path}, byte ${region.from}: ${region.what} holds ${name}, which the item of a tensor does not have`;
        throw new MergeError('E_DCP', message, { details: { file: region.path, position: region.from } });
      }
      return { name: own, bytes: Uint8Array.from(await region.bytes(offset, size)) };
    }),
  );
  const said = files.find(({ name }) => name === '.storage_alignment');
  const alignment = said === undefined ? 64 : Number(Buffer.from(said.bytes).toString('latin1'));
  return { root, files, alignment: Number.isInteger(alignment) && alignment > 0 && alignment <= 2 ** 16 ? alignment : 64 };
}
