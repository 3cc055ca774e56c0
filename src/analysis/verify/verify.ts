import { basename } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { launchedRank } from '../../base/process/rank.ts';
import { storeOf } from '../../base/store/store.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { recordBeside } from '../../checkpoints/our-files.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { loadBinding } from '../../merge/native/load.ts';
import { RANK_TIMEOUT } from '../../merge/ranks/merge-with-ranks.ts';
import { isWithState } from '../../merge/record/provenance.ts';
import { readConfigText } from '../../model/roles/model-config.ts';
import { checkGiven, checkPathGiven, type Taken } from '../../recipe/given.ts';
import { RANKS } from '../../recipe/options.ts';
import { type Block, sampleBlocks } from './blocks.ts';
import { type CarryOut, carryOutHere } from './checks.ts';
import { checkIntegrity, type IntegrityReport } from './integrity.ts';
import { withRanks } from './ranks.ts';
import { type Mismatch, Recomputation } from './recompute.ts';
import { findMembers, holdsRecord, type MergeRecord, readMergeRecord } from './source.ts';
import { underNames } from './under-names.ts';
import { treatedTensors } from './weights.ts';

/** Share of the elements recomputed when nothing else is asked for. */
const DEFAULT_SAMPLE = 0.01;
/** Bytes whose CRC is computed between looks at the signal. */
const CRC_STEP = 256 * 2 ** 20;
/** Blocks that are recomputed between two times that progress is told: half a million elements. */
const BLOCKS_AT_ONCE = 128;

const COPY_AGAIN = 'Copy the file again from where the merge was made, or make the merge anew.';
/** What a trainer loads, or compares what it loads with: nobody edits that. */
const LOADED = /\.(?:distcp|pt|pth|bin|pkl|ckpt|safetensors)$|(?:^|\/)\.metadata(?:\.json)?$|^integrity\.json$/;

/** Somebody may have changed a text beside the tensors, and meant it. */
function besideHelp(name: string): string {
  return LOADED.test(name)
    ? `${COPY_AGAIN} A trainer loads it with the tensors.`
    : `${COPY_AGAIN} Where it was changed on purpose, remove its entry from \`sideFiles\` in merge_provenance.json: what is not named there is not compared.`;
}

export interface VerifyProgress {
  readonly type: 'progress';
  /** `crc`: reading the files; `recompute`: recomputing from the inputs. */
  readonly phase: 'crc' | 'recompute';
  /** Bytes of `crc`, elements of `recompute`. */
  readonly done: number;
  readonly total: number;
}

export interface VerifyOptions {
  /** Recompute every element instead of a sample. Needs the inputs. */
  readonly full?: boolean | undefined;
  /**
   * Share of the elements to recompute, in [0, 1]; 0 checks CRCs and structure only. Default 0.01; a sample
   * has at least 1 and at most 20 million elements.
   */
  readonly sample?: number | undefined;
  /**
   * Where the merged checkpoints lie now, in any order; else they are looked for where the provenance says.
   */
  readonly inputs?: readonly string[] | undefined;
  /** Of `full`: which of several ranks this process is, as {@link MachineOptions.ranks}. */
  readonly ranks?: string | undefined;
  /** Seconds without a sign of life after which others take over the work of a rank; default 60. */
  readonly rankTimeout?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: VerifyProgress) => void) | undefined;
}

const OF_VERIFY = {
  full: { kind: 'flag' },
  sample: { kind: 'number' },
  inputs: { kind: 'paths' },
  ...RANKS,
  signal: { kind: 'anything' },
  onProgress: { kind: 'function' },
} as const satisfies Taken<VerifyOptions>;

/** The JSON document of `verify`. */
export interface VerifyReport {
  readonly schema: 'ckpt-merge/verify';
  readonly version: 1;
  readonly path: string;
  readonly ok: true;
  readonly files: readonly { readonly name: string; readonly bytes: number; readonly crc32c: string; readonly ok: true }[];
  /** What lies beside the tensors of a folder; null where an older record does not say what was written. */
  readonly sideFiles: readonly { readonly name: string; readonly bytes: number; readonly crc32c: string; readonly ok: true }[] | null;
  /** Of a checkpoint that is no merge: what its writer's own checksums say; null for a merge. */
  readonly integrity: IntegrityReport | null;
  readonly recomputed: {
    readonly mode: 'full' | 'sample' | 'none';
    /** Tensors of which at least one element was recomputed. */
    readonly tensors: number;
    readonly elements: number;
    /** Share of all elements. */
    readonly fraction: number;
  };
  readonly warnings: readonly Warning[];
}

/**
 * Checks a merge against what it says of itself: structure and CRC32C of every tensor file always, and a
 * sample (or all) of its elements recomputed from the inputs by the TypeScript twin. Arithmetic and reading
 * of the recomputation share no code with the engine; which weights a tensor gets and where an input holds it
 * are found as a merge finds them (roles, policies, layouts, quantised forms).
 *
 * Of a checkpoint that is no merge the files are compared with the checksums that its writer left beside
 * them, where it did (`integrity.json` of Megatron-core).
 *
 * @param path folder or file that this tool wrote, or a checkpoint with checksums of its own
 * @throws MergeError E_VERIFY with the first difference in `details`; E_PROVENANCE where there is none;
 *   E_SOURCE_CHANGED when an input is not the one that was merged; E_NOT_FOUND when `full` is asked for and
 *   an input is gone; `signal.reason` on an abort
 */
export async function verify(path: string, options: VerifyOptions = {}): Promise<VerifyReport> {
  checkPathGiven('verify', path);
  checkGiven('verify', options, OF_VERIFY);
  const share = shareOf(options);
  if (!(share >= 0 && share <= 1)) throw new MergeError('E_OPTION', `${optionName('sample')} must be a fraction from 0 to 1, not ${share}`);
  options.signal?.throwIfAborted();
  const output = await openCheckpoint(path);
  const none = { mode: 'none', tensors: 0, elements: 0, fraction: 0 } as const;
  if (!options.full && !(await holdsRecord(output))) {
    const integrity = await checkIntegrity(output, options);
    const own = { schema: 'ckpt-merge/verify', version: 1, path, ok: true, files: [], sideFiles: null } as const;
    if (integrity !== null) return { ...own, integrity, recomputed: none, warnings: [] };
    if (output.form.kind !== 'safetensors') throw noChecksums(output);
  }
  const record = await readMergeRecord(output);
  return checkMerge(isWithState(record.provenance.recipe) ? await openCheckpoint(path, { withState: true }) : output, record, options);
}

async function checkMerge(output: Checkpoint, record: MergeRecord, options: VerifyOptions): Promise<VerifyReport> {
  const { path } = output;
  const share = shareOf(options);
  checkFiles(output, record);
  await checkBeside(output, record);
  const rank = options.full ? launchedRank(process.env, options.ranks) : null;
  if (rank === null) return checkContent(output, record, share, options, carryOutHere(options.signal));
  const { rankTimeout = RANK_TIMEOUT, inputs, signal } = options;
  const of = { path, subject: [record.provenance.planDigest, record.sums, inputs], rank, timeout: 1000 * rankTimeout, signal };
  return withRanks(of, (carryOut) => checkContent(output, record, share, options, carryOut));
}

function shareOf({ full, sample }: VerifyOptions): number {
  return full ? 1 : (sample ?? DEFAULT_SAMPLE);
}

/** Checks every byte, and recomputes a share of the elements. */
async function checkContent(
  output: Checkpoint,
  record: MergeRecord,
  share: number,
  options: VerifyOptions,
  carryOut: CarryOut,
): Promise<VerifyReport> {
  const { path } = output;
  const none = { mode: 'none', tensors: 0, elements: 0, fraction: 0 } as const;
  await checkSums(record, options, carryOut);

  const files = record.sums.map(({ name, bytes, crc32c }) => ({ name, bytes, crc32c, ok: true as const }));
  const sideFiles = record.beside?.map(({ name, bytes, crc32c }) => ({ name, bytes, crc32c, ok: true as const })) ?? null;
  const report = { schema: 'ckpt-merge/verify', version: 1, path, ok: true, files, sideFiles, integrity: null } as const;
  if (share === 0) return { ...report, recomputed: none, warnings: [] };
  const { members, warnings } = await findMembers(path, record.provenance, options.inputs);
  if (members === null) {
    if (options.full)
      throw new MergeError('E_NOT_FOUND', warnings[0]!.message, {
        details: { file: path },
        help: 'Name them with --input. Without --full, files whose checksums agree are enough.',
      });
    return { ...report, recomputed: none, warnings };
  }
  const recomputed = await recompute(output, members, record, share, options, carryOut);
  return { ...report, recomputed: { mode: share === 1 ? 'full' : 'sample', ...recomputed }, warnings };
}

function noChecksums({ path, kind, form }: Checkpoint): MergeError {
  const apart = kind === 'file' ? `, or ${basename(recordBeside(path))} was left behind when it was moved` : '';
  const message = `${path}: is no merge${apart}, and ${form.writer ?? 'its writer'} left no checksums in it to compare its files with`;
  return new MergeError('E_PROVENANCE', message, {
    details: { file: path },
    help: 'Megatron-core leaves them where it is told to (verify_integrity); what can be read and is whole, `merge inspect` says.',
  });
}

/** The provenance and the folder must name the same files of the same size. */
function checkFiles(output: Checkpoint, record: MergeRecord): void {
  const found = new Map(output.files.map((file) => [file.name, file.stat.size]));
  // Of DCP a file may hold what is no tensor: it lies beside them.
  for (const { name } of record.beside ?? []) found.delete(name);
  for (const { name, path, from, bytes } of record.sums) {
    const size = found.get(name);
    if (size === undefined)
      throw new MergeError('E_VERIFY', `${name} is in the provenance but not in the checkpoint`, {
        details: { file: path },
        help: 'Give the file its name back, or copy the merge again.',
      });
    if (size !== from + bytes) {
      throw new MergeError('E_VERIFY', `${name} has ${size} bytes, and the provenance says ${from + bytes}`, {
        details: { file: path, expected: from + bytes, found: size },
      });
    }
    found.delete(name);
  }
  for (const name of found.keys()) {
    throw new MergeError('E_VERIFY', `${name} is in the checkpoint but not in the provenance`, {
      details: { file: output.path, found: name },
    });
  }
}

/**
 * What lies beside the tensors must be there as it was written. Where an older record does not say what that
 * was, config.json must be JSON: nothing loads the merge without it.
 */
async function checkBeside(output: Checkpoint, { beside }: MergeRecord): Promise<void> {
  if (beside === null) {
    const { fault } = await readConfigText(output);
    if (fault !== null) throw new MergeError('E_VERIFY', fault.message, { details: { file: fault.file ?? output.path } });
    return;
  }
  for (const { name, path, bytes } of beside) {
    const found = await storeOf(path)
      .stat(path)
      .then(
        ({ size }) => size,
        () => null,
      );
    if (found === bytes) continue;
    const what = found === null ? 'is not in the checkpoint, or cannot be read' : `has ${found} bytes`;
    throw new MergeError('E_VERIFY', `${name} ${what}, and the provenance says that the merge wrote it with ${bytes} bytes`, {
      details: { file: path, expected: bytes, ...(found === null ? {} : { found }) },
      help: besideHelp(name),
    });
  }
}

async function checkSums(record: MergeRecord, { onProgress }: VerifyOptions, carryOut: CarryOut): Promise<void> {
  const binding = loadBinding();
  const beside = (record.beside ?? []).map((file) => ({ ...file, from: 0, help: besideHelp(file.name) }));
  const files = [...record.sums.map((file) => ({ ...file, help: undefined })), ...beside];
  const total = files.reduce((sum, f) => sum + f.bytes, 0);
  const pieces = files.flatMap(({ bytes }, file) =>
    Array.from({ length: Math.ceil(bytes / CRC_STEP) }, (_, i) => ({
      file,
      at: i * CRC_STEP,
      length: Math.min(CRC_STEP, bytes - i * CRC_STEP),
    })),
  );
  const sums = new Map<number, number>();
  const left = files.map((_, file) => pieces.filter((piece) => piece.file === file).length);
  const checkSum = (file: number): void => {
    const { name, path, crc32c, help } = files[file]!;
    let crc = 0;
    for (const [i, piece] of pieces.entries()) if (piece.file === file) crc = binding.crc32cCombine(crc, sums.get(i)!, piece.length);
    const found = crc.toString(16).padStart(8, '0');
    if (found === crc32c) return;
    throw new MergeError('E_VERIFY', `${name} has CRC32C ${found}, and the provenance says ${crc32c}`, {
      details: { file: path, expected: crc32c, found },
      ...(help === undefined ? {} : { help }),
    });
  };
  for (const [file, { bytes }] of files.entries()) if (bytes === 0) checkSum(file);
  let done = 0;
  await carryOut({
    name: 'crc',
    count: pieces.length,
    carryOut: (i) => {
      const { file, at, length } = pieces[i]!;
      return binding.crc32cFile(files[file]!.path, files[file]!.from + at, length);
    },
    onDone: (i, crc) => {
      const { file, length } = pieces[i]!;
      done += length;
      onProgress?.({ type: 'progress', phase: 'crc', done, total });
      sums.set(i, crc);
      if (--left[file]! === 0) checkSum(file);
    },
  });
}

async function recompute(
  output: Checkpoint,
  members: readonly Checkpoint[],
  record: MergeRecord,
  share: number,
  { signal, onProgress }: VerifyOptions,
  carryOut: CarryOut,
): Promise<{ tensors: number; elements: number; fraction: number }> {
  const { recipe } = record.provenance;
  const own = recipe.names === undefined ? members : await underNames(members, recipe.names);
  const treated = await treatedTensors(output, recipe, own, signal);
  const recomputation = await Recomputation.of(output, treated.members ?? own, treated);
  const { blocks, elements, fraction } = sampleBlocks(output, share, seedOf(record), (shard, row) =>
    recomputation.blockElements(shard, row),
  );
  const groups = Array.from({ length: Math.ceil(blocks.length / BLOCKS_AT_ONCE) }, (_, i) =>
    blocks.slice(i * BLOCKS_AT_ONCE, (i + 1) * BLOCKS_AT_ONCE),
  );
  const elementsOf = (group: readonly Block[]) => group.reduce((sum, { from, to }) => sum + to - from, 0);
  let done = 0;
  try {
    await carryOut({
      name: 'blocks',
      count: groups.length,
      carryOut: async (i) => {
        for (const block of groups[i]!) {
          signal?.throwIfAborted();
          const mismatch = await recomputation.check(block);
          if (mismatch !== null) throw differs(output, mismatch);
        }
        return 0;
      },
      onDone: (i) => {
        done += elementsOf(groups[i]!);
        onProgress?.({ type: 'progress', phase: 'recompute', done, total: elements });
      },
    });
  } finally {
    await recomputation.close();
  }
  return { tensors: new Set(blocks.map(({ shard, row }) => `${shard}/${row}`)).size, elements, fraction };
}

function differs(output: Checkpoint, { tensor, file, element, expected, found }: Mismatch): MergeError {
  return new MergeError('E_VERIFY', `tensor ${tensor}, element ${element}: expected ${expected}, found ${found}`, {
    details: { file: output.kind === 'file' ? output.path : `${output.path}/${file}`, tensor, element, expected, found },
  });
}

/** Another merge is sampled at other places; the same one always at the same. */
function seedOf(record: MergeRecord): number {
  return Number.parseInt(record.sums[0]?.crc32c ?? '0', 16);
}
