import { basename, join } from 'node:path';
import { MergeError, type Warning } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { readStart } from '../../../base/store/store.ts';
import type { OpenFile } from '../../../base/store/types.ts';
import { BoxTable } from '../../tensors/box-table.ts';
import { sectionOfName } from '../../tensors/section.ts';
import { shardName } from '../../tensors/shards.ts';
import type { Shard } from '../../tensors/types.ts';
import { foreignError } from '../foreign.ts';
import { otherContent, otherContentError, START_BYTES } from '../other-content.ts';
import type { Allowed } from '../pickle/read-pickle.ts';
import { Dict, type Value } from '../pickle/values.ts';
import { countOf, under } from '../pickle/walk.ts';
import { readIndex } from '../safetensors/read-index.ts';
import type { SafetensorsIndex } from '../safetensors/scan-index.ts';
import { locateTensors } from '../safetensors/tensor-locator.ts';
import type { ContainedState, Container, Found, MasterFragment, Opened } from '../types.ts';
import { Region } from '../zip/region.ts';
import { placeInStorage, readArchive } from './archive.ts';
import { expertCounts, expertFiles, MODULE, refuseMissingExperts } from './deepspeed.ts';
import { DEEPSPEED, INDEX, LIGHTNING, MEGATRON_RANK, modelFile, PIPELINE, SINGLE, ZERO_3, ZERO_STATE } from './file-names.ts';
import { leavesOf } from './state.ts';
import { isOfLoop, statedStep } from './stated-step.ts';
import { tensorOf } from './tensor.ts';
import { stateInFile } from './trainer-state.ts';
import { unreachedTensors } from './unreached.ts';
import { fragmentsOf, isOfZero, refuseMissingRanks, refuseMissingRecord, rootOfFile, zeroState, zeroStateFiles } from './zero-state.ts';

const SUFFIX = /\.(?:pt|pth|bin|ckpt)$/;
/** What Lightning calls itself in all that it saves, under each of its names. */
const LIGHTNING_VERSION = 'pytorch-lightning_version';
/** Files that are read at the same time. */
const READS = 16;

/** Which files make up the checkpoint. */
interface Files {
  readonly names: readonly string[];
  readonly index: SafetensorsIndex | null;
}

/**
 * What torch.save wrote: one file, a folder with one that is the model, Hugging Face's `pytorch_model.bin`
 * with or without an index, a folder of DeepSpeed's of ZeRO 1 and 2, or Megatron-LM's of a single rank.
 * Tensors have flat names: keys joined by points.
 */
export const torch: Container = {
  kind: 'torch.save',
  async recognise({ path, entries, paths }) {
    if (entries === null) return SUFFIX.test(path);
    const names = [...entries.keys()];
    if (entries.has(INDEX) || entries.has(SINGLE)) return true;
    // Of ZeRO 3 the weights are elsewhere, and so they are of a universal checkpoint.
    if (names.some((name) => ZERO_3.test(name) || PIPELINE.test(name)) || entries.get('zero') === false) return false;
    if (deepspeedFiles(names).length > 0) return true;
    const model = modelFile(names);
    if (model !== null) return model.called || (await beginsAsZip(join(path, model.name)));
    return (await megatronFiles(paths)).length === 1;
  },
  async open(found): Promise<Opened> {
    const { path, entries, store } = found;
    const { names: ofModel, index } = await filesOf(found);
    const ranks = found.withState && entries !== null && DEEPSPEED.test(ofModel[0]!) ? zeroStateFiles(entries.keys()) : [];
    const names = [...ofModel, ...ranks];
    const read = await mapBounded(names, READS, async (name): Promise<Shard & Omit<FileOfTensors, 'tensors'>> => {
      const at = entries === null ? path : join(path, name);
      const file = await store.open(at, entries?.get(name));
      try {
        return { name, path: at, stat: file.stat, metadata: null, ...(await tableOf(file, names.indexOf(name))) };
      } finally {
        await file.close();
      }
    });
    const shards = read.map(
      ({ writer: _w, version: _v, state: _s, experts: _e, warnings: _l, fragments: _f, dataParallel: _d, ...shard }) => shard,
    );
    const { version, experts, dataParallel } = read[0]!;
    if (experts !== null) refuseMissingExperts(path, entries === null ? null : ofModel.slice(1), experts);
    if (ranks.length > 0) {
      refuseMissingRanks(path, ranks, dataParallel, experts);
      refuseMissingRecord(read.slice(ofModel.length));
    }
    const warnings = read.flatMap((one) => one.warnings);
    const state = read.find((one) => one.state !== null)?.state ?? null;
    if (shards.every(({ tensors }) => tensors.count === 0)) {
      const [lost] = warnings;
      throw new MergeError('E_NO_TENSORS', `${path}: the checkpoint holds no tensors`, {
        details: { file: path },
        ...(lost !== undefined && { help: lost.message }),
      });
    }
    const writer = read[0]!.writer;
    return {
      form: { kind: 'torch', writer, version },
      shards: shards.map((shard, i) => ({ ...shard, name: shardName(i, shards.length) })),
      files: shards,
      heads: [],
      indexMetadata: index?.metadata ?? null,
      indexName: null,
      namesPerFile: false,
      warnings,
      locate: locateTensors(path, shards, index),
      ...(state !== null && { state }),
      ...(ranks.length > 0 && { fragments: read.flatMap(({ fragments }) => fragments ?? []) }),
    };
  },
};

async function beginsAsZip(path: string): Promise<boolean> {
  const start = await readStart(path, 4).catch(() => Buffer.alloc(0));
  return start.toString('latin1') === 'PK\x03\x04';
}

/** Of Megatron-LM, whose ranks have parts of tensors: where there is one, it has all. */
async function megatronFiles(paths: Found['paths']): Promise<string[]> {
  return (await paths()).filter((name) => MEGATRON_RANK.test(name));
}

function deepspeedFiles(names: Iterable<string>): string[] {
  return [...names].filter((name) => DEEPSPEED.test(name)).sort();
}

async function filesOf({ path, entries, paths }: Found): Promise<Files> {
  if (entries === null) return { names: [basename(path)], index: null };
  if (entries.has(INDEX)) {
    const index = await readIndex(join(path, INDEX), undefined, entries.get(INDEX));
    return { names: [...new Set(index.shards)].sort(), index };
  }
  if (entries.has(SINGLE)) return { names: [SINGLE], index: null };
  const [only, other] = deepspeedFiles(entries.keys());
  if (other !== undefined) {
    throw foreignError(path, 'a checkpoint', {
      format: `DeepSpeed with tensor parallelism (${other} holds other parts of tensors than ${only})`,
      converter: "DeepSpeed's `ds_to_universal.py`, or the tool of its trainer",
    });
  }
  if (only !== undefined) return { names: [only, ...expertFiles(entries.keys())], index: null };
  return { names: [modelFile(entries.keys())?.name ?? (await megatronFiles(paths))[0]!], index: null };
}

/** What a file holds, and the program that wrote it, with the version that it names. */
interface FileOfTensors {
  readonly tensors: Shard['tensors'];
  readonly writer: string;
  readonly version: string | null;
  /** What the trainer says of its place in the run; null where that is nothing. */
  readonly state: ContainedState | null;
  /**
   * Of DeepSpeed's file of a model the experts of each layer, which have files of their own; null for another
   * file.
   */
  readonly experts: readonly number[] | null;
  /** Of DeepSpeed's file of a model the data-parallel ranks that it was saved by; null where that is not said. */
  readonly dataParallel: number | null;
  /** Of a rank's file of the optimizer's state. */
  readonly fragments: readonly MasterFragment[] | null;
  readonly warnings: readonly Warning[];
}

/**
 * @throws MergeError E_OTHER_CONTENT for what is known to be something else: a pointer of Git LFS, a page, a
 * legacy file
 */
async function refuseOther(file: OpenFile): Promise<void> {
  const start = await new Region(file, basename(file.path)).bytes(0, Math.min(START_BYTES, file.stat.size));
  const content = start.toString('latin1', 0, 2) === 'PK' ? null : otherContent(start);
  if (content !== null) throw otherContentError(file.path, content);
}

/** Tensors of a file. @param number of the file in the checkpoint's list */
async function tableOf(file: OpenFile, number: number): Promise<FileOfTensors> {
  const { path } = file;
  const [ofDeepspeed, ofRank] = [DEEPSPEED.test(basename(path)), ZERO_STATE.test(basename(path))];
  await refuseOther(file);
  const region = new Region(file, basename(path));
  const allowed: Allowed | undefined = ofRank ? isOfZero : undefined;
  const { root, storages } = await readArchive(region, allowed);
  const names = rootOfFile(basename(path));
  const fault = (name: string, text: string): MergeError =>
    new MergeError('E_TORCH_FILE', `${path}: ${name} ${text}`, { details: { file: path, tensor: name } });
  const state: Value | undefined = ofDeepspeed ? under(root, MODULE) : ofRank ? zeroState(root) : root;
  if (state === undefined) {
    const [key, what] = ofRank ? [names.inFile.slice(0, -1), "the optimizer's state"] : [MODULE, 'the weights'];
    throw fault(key, `is not in it, under which ${what} should stand`);
  }
  const table = new BoxTable();
  const kinds = new Map<string, string>();
  // What `state_dict()` of every optimizer of torch gives, saved alone.
  const ofOptimizer = under(root, 'state') !== undefined && under(root, 'param_groups') !== undefined;
  // A plain dict of tensors may have a buffer of any name.
  const nested = !ofDeepspeed && !ofRank && root instanceof Dict && root.entries.some((value, i) => i % 2 === 1 && value instanceof Dict);
  for (const leaf of leavesOf(state, (text) => fault('what was saved', text))) {
    const tensor = tensorOf(leaf.value);
    if (tensor === null) continue;
    const name = `${names.inTable}${leaf.name}`;
    const ofLoop = nested && 'shape' in tensor && isOfLoop(name, tensor.shape);
    const section = ofOptimizer ? 'optimizer' : ofLoop ? 'blob' : sectionOfName(name);
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
  const stated = ofRank ? null : (stateInFile(root, path) ?? (ofOptimizer ? null : await statedStep(root, region, storages)));
  const ofLightning = under(root, LIGHTNING_VERSION);
  const version = ofDeepspeed ? under(root, 'ds_version') : ofLightning;
  return {
    tensors: table.table(fault),
    writer: ofDeepspeed ? 'DeepSpeed (ZeRO 1 or 2)' : ofLightning === undefined ? 'torch.save' : LIGHTNING,
    version: typeof version === 'string' ? `version ${version}` : null,
    state: typeof stated === 'number' ? { step: stated, tokens: null, file: path, byKey: true } : stated,
    experts: ofDeepspeed ? expertCounts(root) : null,
    dataParallel: ofDeepspeed ? countOf(under(root, 'dp_world_size')) : null,
    fragments: ofRank ? fragmentsOf(state, names, path) : [],
    warnings: ofRank ? [] : unreachedTensors(state, path),
  };
}
