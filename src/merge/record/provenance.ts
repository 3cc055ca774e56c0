import { basename, dirname, resolve } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { METADATA_KEY } from '../../checkpoints/our-files.ts';
import type { Moment } from '../../checkpoints/types.ts';
import type { RecordedWeightsFile } from '../../recipe/file/weights-file.ts';
import type { ParameterValue } from '../../recipe/schedule/types.ts';
import type { MemberReport } from '../../recipe/select/types.ts';
import { memberName, pathRemover, relativeMemberPath } from './member-path.ts';
import type { RoundingFigure } from './rounding.ts';

/**
 * Key in `__metadata__` of a single file: CRC32C of its data section (a header cannot hold its own), 8
 * hexadecimal digits. The header is made with {@link CRC_PLACEHOLDER} and gets the digits when the data is
 * written.
 */
export const DATA_CRC_KEY = 'ckpt_merge_data_crc32c';
export const CRC_PLACEHOLDER = '--------';

export interface ProvenanceMember extends Omit<Moment, 'path'> {
  readonly name: string;
  /**
   * Relative to the folder that OUT lies in; null where that would reveal a place or a person, and inside a
   * single file.
   */
  readonly path: string | null;
  readonly weight: number;
  /** Bytes of data of the model's tensors, as `merge ls` has it: without those of an optimizer or a trainer. */
  readonly bytes: number;
  readonly fingerprint: string;
}

export interface ProvenancePolicy {
  /** In the spelling of the command line. */
  readonly policy: string;
  /** Where it has a schedule of its own: its weights, one for each of the members. */
  readonly weights: readonly number[] | null;
}

/** The names that tensors have instead of those of the members, and by which rules. */
export interface RecordedNames {
  /** `hf`, or the name of the file. */
  readonly asked: string;
  /** Rules as the file has them, and its SHA-256; null where the members had these names already. */
  readonly table: { readonly name: string; readonly digest: string; readonly content: unknown } | null;
  /** Numbers that the rules were given, by the words that they have for them. */
  readonly sizes: Readonly<Record<string, number>>;
  /** `model_type` of the configuration; null where there was none. */
  readonly model: string | null;
}

export interface ProvenanceRecipe {
  readonly method: string;
  readonly alpha: number | null;
  /** Parameters of the method, by their names in recipes; of a file only the name. */
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  /**
   * Whether explicit weights were divided by their sum; the weights of the members are the ones after that.
   */
  readonly normalized: boolean;
  /** Dtype of all float tensors; null where each is as in the layout. */
  readonly dtype: string | null;
  /** What the merge was made for, and what became of optimizer state; null where nothing was said. */
  readonly purpose: string | null;
  readonly optimizer: string | null;
  /**
   * Whose states of TransformerEngine it has, and what its weights are made from; absent where nothing was
   * said.
   */
  readonly extraState?: string | undefined;
  readonly weightsFrom?: string | undefined;
  /** The file that the last of the policies are from: name, SHA-256, entries; absent where there was none. */
  readonly weightsFile?: RecordedWeightsFile | undefined;
  /** In the order in which they apply. */
  readonly policies: readonly ProvenancePolicy[];
  readonly allowMixedDtypes: boolean;
  readonly allowUnknown: boolean;
  /** Name of the checkpoint whose layout was followed, where it was not the newest member. */
  readonly like: string | null;
  /** Container of the output; absent of safetensors. */
  readonly format?: string | undefined;
  /** Bytes of tensors in a file at most; absent where it was not asked for. */
  readonly shardSize?: number | undefined;
  /** Files of tensors; absent where no number was asked for. */
  readonly files?: number | undefined;
  /** Absent where tensors have the names that the members have. */
  readonly names?: RecordedNames | undefined;
  /** In the order of the sum. */
  readonly members: readonly ProvenanceMember[];
}

/** Whether a merge may hold the state of optimizers' ranks, so that it and its members are opened with that. */
export function isWithState({ purpose, format, weightsFrom }: Pick<ProvenanceRecipe, 'purpose' | 'format' | 'weightsFrom'>): boolean {
  return (purpose === 'resume' && format === 'torch') || weightsFrom === 'master';
}

export interface ProvenanceFile {
  readonly name: string;
  readonly bytes: number;
  /** CRC32C of the whole file, 8 hexadecimal digits. */
  readonly crc32c: string;
}

export interface ProvenanceTimings {
  readonly seconds: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Processes that made it together, and the machines that they ran on; absent of one process. */
  readonly ranks?: number | undefined;
  readonly hosts?: number | undefined;
  /** 12 hexadecimal digits of a digest of what their launcher calls the job; absent where it has no name for it. */
  readonly job?: string | undefined;
}

/** How a merge came to be: `merge_provenance.json`. Holds no absolute path and no user name. */
export interface Provenance {
  readonly schema: 'ckpt-merge/provenance';
  readonly version: 1;
  readonly tool: { readonly name: string; readonly version: string };
  readonly recipe: ProvenanceRecipe;
  /** Null inside a single file, whose header is part of what the digest is about. */
  readonly planDigest: string | null;
  /**
   * Digest of what was asked for (`plan/request-digest.ts`), by which a rank that comes late knows that this is
   * what it is to make; absent where one process made it, and inside a single file.
   */
  readonly request?: string | undefined;
  /** Empty inside a single file. */
  readonly files: readonly ProvenanceFile[];
  /**
   * What was written beside the tensors, but for this record, the recipe and the card; absent inside a single
   * file, and in records of versions before it was kept.
   */
  readonly sideFiles?: readonly ProvenanceFile[] | undefined;
  readonly dtypeChanges: readonly string[];
  /** How many members there were of those asked for, and what was left out; absent inside a single file. */
  readonly selection?: MemberReport;
  readonly warnings: readonly Warning[];
  /**
   * How far quantising anew moved the merged values, by role; absent where nothing was, and inside a single
   * file.
   */
  readonly rounding?: readonly RoundingFigure[];
  /** Null inside a single file, whose bytes are the same however long the merge took. */
  readonly timings: ProvenanceTimings | null;
}

interface SummedFile {
  readonly name: string;
  readonly bytes: number;
  readonly crc: number;
}

/** What a provenance is made from. Paths are as the user gave them; they do not reach the result. */
export interface ProvenanceInput {
  readonly toolVersion: string;
  readonly output: string;
  readonly recipe: Omit<ProvenanceRecipe, 'members'> & {
    readonly members: readonly (Omit<ProvenanceMember, 'name' | 'path'> & { readonly path: string })[];
  };
  readonly planDigest: string | null;
  readonly request?: string | null;
  readonly files: readonly SummedFile[];
  readonly sideFiles?: readonly SummedFile[];
  readonly dtypeChanges: readonly string[];
  readonly selection?: MemberReport;
  readonly warnings: readonly Warning[];
  /** Paths that the warnings name and of which nothing is told. */
  readonly hidden?: readonly string[];
  readonly rounding?: readonly RoundingFigure[];
  readonly timings: ProvenanceTimings | null;
}

/** CRC32C as provenance writes it. */
export function crcText(crc: number): string {
  return (crc >>> 0).toString(16).padStart(8, '0');
}

export function buildProvenance(input: ProvenanceInput): Provenance {
  const { recipe, output } = input;
  const parent = dirname(resolve(output));
  const named = [output, ...recipe.members.map(({ path }) => path)].flatMap((path) => [path, resolve(path)]);
  const clean = pathRemover(
    new Map([...named.map((path) => [path, basename(path)] as const), ...(input.hidden ?? []).map((path) => [path, 'elsewhere'] as const)]),
  );
  return {
    schema: 'ckpt-merge/provenance',
    version: 1,
    tool: { name: 'ckpt-merge', version: input.toolVersion },
    recipe: {
      method: recipe.method,
      alpha: recipe.alpha,
      parameters: withoutFolders(recipe.parameters),
      normalized: recipe.normalized,
      dtype: recipe.dtype,
      purpose: recipe.purpose,
      optimizer: recipe.optimizer,
      ...(recipe.extraState !== undefined && { extraState: recipe.extraState }),
      ...(recipe.weightsFrom !== undefined && { weightsFrom: recipe.weightsFrom }),
      ...(recipe.weightsFile !== undefined && { weightsFile: recipe.weightsFile }),
      policies: recipe.policies,
      allowMixedDtypes: recipe.allowMixedDtypes,
      allowUnknown: recipe.allowUnknown,
      like: recipe.like === null ? null : memberName(recipe.like),
      ...(recipe.format !== undefined && { format: recipe.format }),
      ...(recipe.shardSize !== undefined && { shardSize: recipe.shardSize }),
      ...(recipe.files !== undefined && { files: recipe.files }),
      ...(recipe.names !== undefined && { names: recipe.names }),
      members: recipe.members.map(({ path, step, tokens, weight, bytes, fingerprint }) => ({
        name: memberName(path),
        path: relativeMemberPath(parent, path),
        step,
        tokens,
        weight,
        bytes,
        fingerprint,
      })),
    },
    planDigest: input.planDigest,
    ...(input.request != null && { request: input.request }),
    files: input.files.map(recordedFile),
    ...(input.sideFiles !== undefined && { sideFiles: input.sideFiles.map(recordedFile) }),
    dtypeChanges: input.dtypeChanges,
    ...(input.selection !== undefined && { selection: told(input.selection, clean) }),
    warnings: input.warnings.map(({ code, message }) => ({ code, message: clean(message) })),
    ...(input.rounding !== undefined && input.rounding.length > 0 && { rounding: input.rounding }),
    timings: input.timings,
  };
}

function recordedFile({ name, bytes, crc }: SummedFile): ProvenanceFile {
  return { name, bytes, crc32c: crcText(crc) };
}

/** A name of a checkpoint may be a person's, and a reason may name a path. */
function told({ asked, found, leftOut }: MemberReport, clean: (text: string) => string): MemberReport {
  return {
    asked,
    found,
    leftOut: leftOut.map(({ name, reason, ...left }) => ({ name: memberName(name), ...left, reason: clean(reason) })),
  };
}

/** A parameter that names a file would tell where on a machine it lies. */
function withoutFolders(parameters: Readonly<Record<string, ParameterValue>>): Record<string, ParameterValue> {
  return Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, typeof value === 'string' ? basename(value) : value]));
}

/**
 * The text of `merge_provenance.json`. Weights are the shortest decimals that read back as the same float64.
 */
export function provenanceText(provenance: Provenance): string {
  return `${JSON.stringify(provenance, null, 2)}\n`;
}

/** Entries for the `__metadata__` of a folder's shards. */
export function shortProvenance(recipe: {
  readonly method: string;
  readonly parameters: Readonly<Record<string, ParameterValue>>;
  readonly members: readonly { readonly path: string; readonly step: number | null; readonly weight: number }[];
}): ReadonlyMap<string, string> {
  const members = recipe.members.map(({ path, step, weight }) => ({ name: memberName(path), step, weight }));
  return new Map([[METADATA_KEY, JSON.stringify({ method: recipe.method, ...withoutFolders(recipe.parameters), members })]]);
}

/**
 * Entries for the `__metadata__` of a single file; {@link sealDataCrc} fills in the CRC later. Without the
 * members' paths: the same merge has the same bytes wherever it is written.
 */
export function embeddedProvenance(input: Omit<ProvenanceInput, 'planDigest' | 'files' | 'timings'>): ReadonlyMap<string, string> {
  const { recipe, ...rest } = buildProvenance({ ...input, planDigest: null, files: [], timings: null });
  const members = recipe.members.map((member) => ({ ...member, path: null }));
  return new Map([
    [METADATA_KEY, JSON.stringify({ ...rest, recipe: { ...recipe, members } })],
    [DATA_CRC_KEY, CRC_PLACEHOLDER],
  ]);
}

/** `__metadata__` of a source without what an earlier merge wrote there. */
export function withoutProvenance(metadata: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...metadata].filter(([key]) => key !== METADATA_KEY && key !== DATA_CRC_KEY));
}

/**
 * Writes the CRC32C of the data section into an encoded header, in place. False where the header has no place
 * for it.
 */
export function sealDataCrc(header: Uint8Array, crc: number): boolean {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.byteLength);
  const key = bytes.indexOf(`"${DATA_CRC_KEY}"`);
  const at = key < 0 ? -1 : bytes.indexOf(`"${CRC_PLACEHOLDER}"`, key);
  if (at < 0) return false;
  bytes.write(crcText(crc), at + 1, 'latin1');
  return true;
}
