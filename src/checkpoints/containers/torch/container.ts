import { basename, join } from 'node:path';
import { MergeError } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { readStart } from '../../../base/store/store.ts';
import type { OpenFile } from '../../../base/store/types.ts';
import { BoxTable } from '../../tensors/box-table.ts';
import { sectionOfName } from '../../tensors/section.ts';
import { shardName } from '../../tensors/shards.ts';
import type { Shard } from '../../tensors/types.ts';
import { otherContent, otherContentError, START_BYTES } from '../other-content.ts';
import type { Value } from '../pickle/values.ts';
import { under } from '../pickle/walk.ts';
import { readIndex } from '../safetensors/read-index.ts';
import type { SafetensorsIndex } from '../safetensors/scan-index.ts';
import { locateTensors } from '../safetensors/tensor-locator.ts';
import type { Container, Found, Opened } from '../types.ts';
import { Region } from '../zip/region.ts';
import { placeInStorage, readArchive } from './archive.ts';
import { leavesOf } from './state.ts';
import { tensorOf } from './tensor.ts';

const INDEX = 'pytorch_model.bin.index.json';
const SINGLE = 'pytorch_model.bin';
/** What DeepSpeed saves of the model with ZeRO 1 and 2: all weights, under `module`. */
const DEEPSPEED = /^mp_rank_\d+_model_states\.pt$/;
const DEEPSPEED_KEY = 'module';
/** What GPT-NeoX keeps of its layers beside it: the weights are there, and not under `module`. */
const PIPELINE = /^layer_\d+-model/;
const SUFFIX = /\.(?:pt|pth|bin|ckpt)$/;
/** Files that are read at the same time. */
const READS = 16;

/** Which files make up the checkpoint. */
interface Files {
  readonly names: readonly string[];
  readonly index: SafetensorsIndex | null;
  /** The key under which the weights stand; null where they are the state itself, or parts of it. */
  readonly key: string | null;
}

/**
 * What torch.save wrote: one file, Hugging Face's `pytorch_model.bin` with or without an index, or a folder of
 * DeepSpeed's of ZeRO 1 and 2. Tensors have flat names: keys joined by points.
 */
export const torch: Container = {
  kind: 'torch.save',
  async recognise({ path, entries }) {
    if (entries === null) return SUFFIX.test(path) && (await isKnown(path));
    return (
      entries.has(INDEX) ||
      entries.has(SINGLE) ||
      (deepspeedFiles(entries.keys()).length > 0 && ![...entries.keys()].some((name) => PIPELINE.test(name)))
    );
  },
  async open(found): Promise<Opened> {
    const { path, entries, store } = found;
    const { names, index, key } = await filesOf(found);
    const read = await mapBounded(names, READS, async (name): Promise<Shard & Pick<FileOfTensors, 'version'>> => {
      const at = entries === null ? path : join(path, name);
      const file = await store.open(at, entries?.get(name));
      try {
        const { tensors, version } = await tableOf(file, key, names.indexOf(name));
        return { name, path: at, stat: file.stat, tensors, metadata: null, version };
      } finally {
        await file.close();
      }
    });
    const shards = read.map(({ version: _, ...shard }) => shard);
    if (shards.every(({ tensors }) => tensors.count === 0)) {
      throw new MergeError('E_NO_TENSORS', `${path}: the checkpoint holds no tensors`, { details: { file: path } });
    }
    const writer = key === DEEPSPEED_KEY ? 'DeepSpeed (ZeRO 1 or 2)' : 'torch.save';
    return {
      form: { kind: 'torch', writer, version: read[0]!.version },
      shards: shards.map((shard, i) => ({ ...shard, name: shardName(i, shards.length) })),
      files: shards,
      heads: [],
      indexMetadata: index?.metadata ?? null,
      indexName: null,
      namesPerFile: false,
      warnings: [],
      locate: locateTensors(path, shards, index),
    };
  },
};

/** Whether a file is of torch.save, or something else of which is known what it is: opening it says so. */
async function isKnown(path: string): Promise<boolean> {
  const start = await readStart(path, START_BYTES).catch(() => Buffer.alloc(0));
  return otherContent(start) !== null;
}

function deepspeedFiles(names: Iterable<string>): string[] {
  return [...names].filter((name) => DEEPSPEED.test(name)).sort();
}

async function filesOf({ path, entries }: Found): Promise<Files> {
  if (entries === null) return { names: [basename(path)], index: null, key: DEEPSPEED.test(basename(path)) ? DEEPSPEED_KEY : null };
  if (entries.has(INDEX)) {
    const index = await readIndex(join(path, INDEX), undefined, entries.get(INDEX));
    return { names: [...new Set(index.shards)].sort(), index, key: null };
  }
  if (entries.has(SINGLE)) return { names: [SINGLE], index: null, key: null };
  const [only, other] = deepspeedFiles(entries.keys());
  if (other !== undefined) {
    throw new MergeError(
      'E_NO_CHECKPOINT',
      `${path}: is a checkpoint of DeepSpeed with tensor parallelism: ${other} holds other parts of tensors than ${only}`,
      {
        details: { file: path },
        help: "Convert it first, with DeepSpeed's `ds_to_universal.py`, or the tool of its trainer.",
      },
    );
  }
  return { names: [only!], index: null, key: DEEPSPEED_KEY };
}

/** What a file holds, and the version of the program that it names. */
interface FileOfTensors {
  readonly tensors: Shard['tensors'];
  readonly version: string | null;
}

/** @throws MergeError E_OTHER_CONTENT for what is known to be something else: a pointer of Git LFS, a page, a legacy file */
async function refuseOther(file: OpenFile): Promise<void> {
  const start = await new Region(file, basename(file.path)).bytes(0, Math.min(START_BYTES, file.stat.size));
  const content = start.toString('latin1', 0, 2) === 'PK' ? null : otherContent(start);
  if (content !== null) throw otherContentError(file.path, content);
}

/** Tensors of a file. @param number of the file in the checkpoint's list */
async function tableOf(file: OpenFile, key: string | null, number: number): Promise<FileOfTensors> {
  const { path } = file;
  await refuseOther(file);
  const { root, storages } = await readArchive(new Region(file, basename(path)));
  const fault = (name: string, text: string): MergeError =>
    new MergeError('E_TORCH_FILE', `${path}: ${name} ${text}`, { details: { file: path, tensor: name } });
  const state: Value | undefined = key === null ? root : under(root, key);
  if (state === undefined) throw fault(key!, 'is not in it, under which the weights should stand');
  const table = new BoxTable();
  const kinds = new Map<string, string>();
  for (const { name, value } of leavesOf(state, (text) => fault('what was saved', text))) {
    const tensor = tensorOf(value);
    if (tensor === null) continue;
    const section = sectionOfName(name);
    const placed = 'refused' in tensor ? tensor : placeInStorage(tensor, storages);
    if ('refused' in placed) {
      // Of what is not merged nothing is asked.
      if (section === 'model') throw fault(name, placed.refused);
      continue;
    }
    if (table.get(name) !== undefined) throw fault(name, 'is there twice, under keys that are written alike');
    const { storage, storageDtype, numel } = tensor as Exclude<typeof tensor, { refused: string }>;
    const kind = `${storageDtype} ${numel}`;
    if ((kinds.get(storage) ?? kind) !== kind) throw fault(name, `lies in storage ${storage}, which another tensor takes for another kind`);
    kinds.set(storage, kind);
    const { dtype, shape, stride, at } = placed;
    table.add(name, { dtype, shape, section }, { file: number, offset: at, start: shape.map(() => 0), size: shape, stride });
  }
  const version = key === null ? undefined : under(root, 'ds_version');
  return { tensors: table.table(fault), version: typeof version === 'string' ? `DeepSpeed ${version}` : null };
}
