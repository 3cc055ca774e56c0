import { basename } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { NOT_UTF8 } from '../../base/not-here.ts';
import type { OpenCache } from '../containers/open-cache.ts';
import { NEWEST_AGAIN, PUT_ASIDE, positionFromName, stepMentioned, UNFINISHED_SAVE } from '../names.ts';
import { openCheckpoint } from '../open.ts';
import { METADATA_KEY } from '../our-files.ts';
import { type RecordedMerge, recordedMerge } from '../own-record.ts';
import { readTrainingState } from '../states.ts';
import { holdsOptimizer } from '../training-state.ts';
import type { Checkpoint } from '../types.ts';
import { type CandidateFolder, foreignReason, holdsWeights } from './candidates.ts';
import { type ModelForm, ModelForms } from './model-form.ts';
import { INCOMPLETE, NO_MODEL, NO_STEP } from './reasons.ts';
import type { BrokenCheckpoint, Excluded, RunCheckpoint } from './types.ts';

/** A complete checkpoint before the log is known, and what was noticed about it. */
export interface FoundCheckpoint {
  readonly checkpoint: Omit<RunCheckpoint, 'loss' | 'learningRate' | 'evalLoss'>;
  readonly warnings: readonly Warning[];
  /** Whether its step is the epoch in its name, as nothing gives another. */
  readonly byEpoch: boolean;
  /** Whether it is one of the run's steps in another container, as `merge convert` writes it. */
  readonly converted: boolean;
  readonly form: ModelForm;
}

/**
 * What a name says of a folder whose checkpoint is missing in the run, unless another stands in its place.
 */
const LOST: ReadonlySet<string | null> = new Set([UNFINISHED_SAVE, PUT_ASIDE]);

/**
 * What a candidate is; null where it is nothing that people would look for in the list. One that is called
 * the last is one of the run's where its own state says of which step it is.
 */
export async function examineCandidate(
  {
    path,
    name,
    position: named,
    epoch,
    epochMentioned,
    apart,
    against: inName,
    lost = LOST.has(inName) && !name.startsWith('.'),
    isFile = false,
  }: CandidateFolder,
  cache: OpenCache,
): Promise<FoundCheckpoint | BrokenCheckpoint | Excluded | null> {
  const stated = inName === NEWEST_AGAIN || apart !== null ? (await readTrainingState(path)).step : null;
  const mentioned = stepMentioned(name);
  const step = named?.step ?? epoch ?? stated ?? mentioned ?? epochMentioned;
  const ofEpoch = epoch ?? epochMentioned;
  const anew = ofEpoch === null ? {} : { epoch: ofEpoch };
  // Of a file the state is inside.
  const against = (stated === null && !isFile) || inName !== NEWEST_AGAIN ? inName : null;
  const left = (reason: string): Excluded => ({ path, step, reason });
  const broken = (reason: string): BrokenCheckpoint | Excluded =>
    step === null ? left(reason) : { stage: null, ingredient: null, tokens: null, ...anew, ...named, name, ...left(reason), step };
  if (against !== null && lost && step !== null) return broken(against);
  if (against !== null) return step !== null || isFile || (await holdsWeights(path)) ? left(against) : null;
  // What a state file says needs no name.
  if (apart !== null && stated === null) return { ...left(apart.reason), ...(apart.help !== null && { help: apart.help }) };
  let checkpoint: Checkpoint;
  try {
    checkpoint = await openCheckpoint(path, {
      cache,
      name,
      ...(named !== null && { position: named }),
      deeper: epoch !== null,
      listed: true,
    });
  } catch (error) {
    if (!(error instanceof MergeError) || NOT_ITS_FAULT.has(error.code)) throw error;
    const { format, converter } = error.details as { format?: string; converter?: string };
    if (format !== undefined && converter !== undefined) return { ...broken(foreignReason({ format, converter })), help: error.help };
    // A folder that is named by no step and holds no weights is none of the run's checkpoints.
    if (step === null && (error.code === 'E_NO_CHECKPOINT' || (isFile && error.code === 'E_NO_TENSORS'))) return null;
    return { ...broken(faultReason(error, path)), ...((error.code === 'E_AMBIGUOUS' || HELPFUL.has(error.code)) && { help: error.help }) };
  }
  const record =
    (await recordedMerge(checkpoint)) ?? (checkpoint.path === path ? null : await recordedMerge({ ...checkpoint, path, shards: [] }));
  const converted = record !== null && checkpoint.step !== null && convertedStep(record) === checkpoint.step;
  if (record !== null && !converted) return left('a merge that this tool wrote');
  if (checkpoint.ephemeral !== null) return left(`ephemeral: the trainer will remove it (${basename(checkpoint.ephemeral)})`);
  const form = cache.of(ModelForms).of(checkpoint);
  if (form.names.tensors.size === 0) return broken(NO_MODEL);
  const byEpoch = checkpoint.step === null && epoch !== null;
  if (checkpoint.step === null && !byEpoch) return left(inName ?? NO_STEP);
  // What a conversion leaves behind, its record has: the state files of its step counted the tokens.
  const tokens = checkpoint.tokens ?? record?.tokens ?? null;
  const placed = { ...checkpoint, tokens, ...(byEpoch && { epoch, step: epoch }) };
  const described = describe(placed, name, named, form);
  const found = record === null ? described : { ...described, savedAt: null };
  return { checkpoint: found, warnings: checkpoint.warnings, byEpoch, converted, form };
}

/** The step that a conversion is of. Null for merges, and for what was converted from one. */
function convertedStep({ method, members, step }: RecordedMerge): number | null {
  return method === 'convert' && members === 1 ? step : null;
}

/** A checkpoint as one of a run, but for what the log says. @param named what its name says */
export function describe(
  checkpoint: Checkpoint,
  name: string,
  named = positionFromName(name),
  { dtypes, bytes }: Pick<ModelForm, 'dtypes' | 'bytes'> = new ModelForms().of(checkpoint),
): FoundCheckpoint['checkpoint'] {
  const { path, stage, ingredient, epoch, step, tokens } = checkpoint;
  const tokensFrom = tokens === null ? null : tokens === named?.tokens ? 'name' : 'state';
  const place = { stage, ingredient, ...(epoch !== undefined && { epoch }), step, tokens };
  const state = holdsOptimizer(checkpoint) && { holdsOptimizer: true as const };
  return { path, name, ...place, tokensFrom, bytes, dtypes, ...state, savedAt: savedAt(checkpoint) };
}

/** When the last of its tensor files was written; null where this tool wrote them, long after the trainer did. */
export function savedAt({ files, shards }: Pick<Checkpoint, 'files' | 'shards'>): number | null {
  if (shards[0]?.metadata?.has(METADATA_KEY)) return null;
  const times = files.map(({ stat }) => stat.modified);
  return times.includes(null) ? null : Math.max(...(times as number[]));
}

/** To leave a checkpoint out for these would make another merge of the same run, without a word. */
const NOT_ITS_FAULT: ReadonlySet<string> = new Set(['E_TOO_MANY_FILES', 'E_TEMPORARY', 'E_NO_MEMORY']);

/** What is to be done about these is not to wait, nor to mend a file. */
const HELPFUL: ReadonlySet<string> = new Set(['E_TORCH_FILE', 'E_PICKLE_CLASS', 'E_DCP', 'E_OTHER_CONTENT']);

const NOT_WHOLE: ReadonlySet<string> = new Set([
  'E_SHARD_MISSING',
  'E_FILE_TRUNCATED',
  'E_HEADER_TRUNCATED',
  'E_NO_CHECKPOINT',
  'E_NO_TENSORS',
  'E_NOT_FOUND',
]);

/** The fault in words that fit beside the checkpoint's name: without its path. */
function faultReason({ code, message }: MergeError, path: string): string {
  const own = message.replace(`${path}: ${basename(path)} `, '').replace(`${path}: `, '');
  const fault = own.replaceAll(`${path}/`, '').replaceAll(path, basename(path));
  // A name that Node cannot hand back is that of a checkpoint that may well be whole.
  return `${NOT_WHOLE.has(code) && !path.includes(NOT_UTF8) ? INCOMPLETE : 'not usable'}: ${fault}`;
}
