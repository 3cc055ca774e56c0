import { appendLine } from '../../base/disk/append-line.ts';
import { onOutput } from '../../base/disk/io-error.ts';
import { truncateOwn } from '../../base/disk/own-file.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError } from '../../base/errors.ts';
import { parseJson } from '../../base/json/parse.ts';
import { pathText } from '../../base/problems.ts';
import { readIfThere } from '../../base/store/store.ts';
import { goalWhere } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Moment } from '../../checkpoints/types.ts';
import type { Axis, Point } from '../gaussian-process/cube.ts';
import type { SpaceParameter } from '../space/types.ts';
import type { ScoredTrial, Trial } from './types.ts';

export const TRIALS_FILE = 'trials.jsonl';
/** Far beyond any study; a trial with the scores of a million items takes 10 MB. */
export const MAX_TRIALS_BYTES = 500_000_000;
/** Of every line. */
const FIRST_CHARACTERS = '{"id":';

/** A line of the file: a trial, and what is needed to go on after it. */
export interface TrialLine extends ScoredTrial {
  /** Place in the cube; null outside the space. */
  readonly point: Point | null;
  /** Which of the studies in one file it belongs to: the pair of a chain, oldest 0; else 0. */
  readonly leg: number;
  /** As the user says it, else the evaluator; null where neither does. */
  readonly higherIsBetter: boolean | null;
  /**
   * Trials are proposed in rounds, each from what was known before it: id of its first trial, and how many it
   * has.
   */
  readonly round: number;
  readonly roundSize: number;
  /** Seconds of work since the search began, over interruptions. */
  readonly elapsed: number;
}

/** A line of the file as documents show it: without what is only for going on. */
export function asTrial({ items, point, leg, round, roundSize, elapsed, higherIsBetter, ...trial }: TrialLine): Trial {
  return trial;
}

/** What trials took together: seconds, and the cost that evaluators reported, null where none did. */
export function spentOn(trials: readonly Trial[]): {
  readonly seconds: { readonly merging: number; readonly evaluating: number };
  readonly cost: number | null;
} {
  const sum = (of: (trial: Trial) => number) => trials.reduce((total, trial) => total + of(trial), 0);
  return {
    seconds: { merging: sum(({ mergeSeconds }) => mergeSeconds), evaluating: sum(({ seconds }) => seconds) },
    cost: trials.some(({ cost }) => cost !== null) ? sum(({ cost }) => cost ?? 0) : null,
  };
}

/**
 * What a study is about. Kept in the first line, as `study`; a study goes on only where there is no
 * difference, but for what may grow.
 */
export interface StudyIdentity {
  readonly kind: 'search' | 'soup' | 'forecast' | 'validation' | 'routers' | 'grid' | 'watch';
  readonly inputs: readonly string[];
  readonly members: readonly StudiedMember[];
  /** Indices of members: those selected, and the last 10 of the run. */
  readonly pool: readonly number[];
  readonly last: readonly number[];
  readonly legs: readonly StudiedSpace[];
  /** As text, where it is a list of words. */
  readonly evaluator: string;
  readonly metrics: readonly string[];
  /** As given; where it is null, trials tell by `higherIsBetter`. */
  readonly goal: Goal | null;
  readonly noise: 'shared' | 'independent';
  readonly sampler: string;
  readonly seed: number;
  readonly policies: readonly string[];
  readonly dtype: string | null;
  /** What a grid or a watch scores; its run may grow, and so may these. Absent elsewhere. */
  readonly scored?: readonly StudiedArm[];
}

/** What came to a study with one of its trials: of a watch, whose run goes on. */
export type StudyGrowth = Pick<StudyIdentity, 'members'> & Required<Pick<StudyIdentity, 'scored'>>;

/** What a grid scores: an output, the plain mean of its window, or a checkpoint alone that windows end at. */
export interface StudiedArm {
  readonly kind: 'output' | 'mean' | 'newest';
  /** Of the trial that scores it. */
  readonly recipe: string;
  /** Combinations of the axes that it is, the first one's name being its own. */
  readonly is: readonly StudiedCombination[];
  /** Step, and tokens where they are known, of the checkpoint that its window ends at. */
  readonly endpoint: number;
  readonly tokens: number | null;
  /** Changes of the training that its window crosses. */
  readonly flags: readonly string[];
  /** What the training logged there, by name: of a checkpoint alone of a watch. */
  readonly logged?: Readonly<Record<string, number>> | undefined;
  /** It was scored before, and is not asked for now. */
  readonly earlier?: true | undefined;
}

export interface StudiedCombination {
  readonly name: string;
  /** The name without the endpoint. */
  readonly recipe: string;
  readonly axes: Readonly<Record<string, string | number | boolean>>;
  /** Its weights in another order: shown, and never chosen. */
  readonly control: boolean;
}

export interface StudiedMember extends Moment {
  readonly fingerprint: string;
}

/** The space of a leg; `soup` and `windows` have no axes, and the parameters of `windows` one value each. */
export interface StudiedSpace {
  readonly name: string;
  readonly parameters: readonly SpaceParameter[];
  readonly axes: readonly Axis[];
  readonly members: readonly number[];
}

/** A file of trials as it was read. */
export interface StoredTrials {
  readonly identity: StudyIdentity;
  readonly trials: readonly TrialLine[];
}

/** Which scores are better: as it was given, or as the evaluator says; null where neither is known. */
export function storedGoal({ identity, trials }: StoredTrials): Goal | null {
  // The last: a user who was asked says it on the way.
  const told = trials.findLast(({ higherIsBetter, score }) => score !== null && higherIsBetter !== null)?.higherIsBetter ?? null;
  return identity.goal ?? (told === null ? null : goalWhere(told));
}

interface FirstLine extends TrialLine {
  readonly schema: 'ckpt-merge/trials';
  readonly version: 1;
  readonly study: StudyIdentity;
}

/**
 * Reads a file of trials; null where there is none or no line is whole. A last line that a kill left torn is
 * passed over, and with `mend` cut off.
 * @throws MergeError E_TRIALS for anything else that is no trial, E_NOT_READABLE
 */
export async function readTrials(file: string, { mend = false } = {}): Promise<StoredTrials | null> {
  const bytes = await readIfThere(file, MAX_TRIALS_BYTES);
  if (bytes === null) return null;
  const whole = bytes.lastIndexOf('\n') + 1;
  // A torn line is removed: it had better be one of ours.
  if (whole === 0 && !FIRST_CHARACTERS.startsWith(bytes.toString('latin1', 0, FIRST_CHARACTERS.length)))
    throw unusable(file, 1, 'it is no trial of a search');
  if (whole < bytes.length && mend) await onOutput('write', file, () => truncateOwn(SYSTEM, file, whole));
  const lines = bytes.subarray(0, whole).toString('utf8').split('\n').slice(0, -1);
  if (lines.length === 0) return null;
  // Whoever imports the package should not load zod before a file of trials is read.
  const { storedStudy, storedTrial } = await import('./stored-trial.ts');
  const trials = lines.map((line, i) => {
    const value = parseLine(file, line, i + 1);
    if (storedTrial.safeParse(value).success) return value as TrialLine;
    throw unusable(file, i + 1, 'it is no trial of a search');
  });
  const first = trials[0] as FirstLine;
  // A run that grew is told of anew.
  const told = (trials as Partial<FirstLine>[]).findLast(({ study }) => study !== undefined) as FirstLine;
  if (first.schema !== 'ckpt-merge/trials' || typeof first.study !== 'object' || first.study === null) {
    throw unusable(file, 1, 'the first line does not say what study it is of');
  }
  if (first.version !== 1) throw unusable(file, 1, `it is of version ${JSON.stringify(first.version)}, and this program knows version 1`);
  const grown = grownSince(trials as Grown[], told.study);
  const study = storedStudy.safeParse(grown);
  if (!study.success) throw unusable(file, 1, `what it says of the study cannot be used${whereOf(study.error.issues[0]!.path)}`);
  const ids = new Set<number>();
  for (const [i, { id, leg }] of trials.entries()) {
    if (ids.has(id)) throw unusable(file, i + 1, `trial ${id} is there twice`);
    if (leg > 0 && leg >= Math.max(1, grown.legs.length)) throw unusable(file, i + 1, `it is of search ${leg + 1} of ${grown.legs.length}`);
    ids.add(id);
  }
  return { identity: grown, trials: trials.map(({ schema, version, study, grown: more, ...trial }: Partial<FirstLine> & Grown) => trial) };
}

/** A line that tells what came with it. */
type Grown = TrialLine & { readonly grown?: Partial<StudyGrowth> };

/** A study with all that came since the line that told of it; of one recipe or member the first time it is named. */
function grownSince(lines: readonly Grown[], study: StudyIdentity): StudyIdentity {
  const from = lines.findLastIndex((line) => (line as Partial<FirstLine>).study !== undefined);
  const growth = lines.slice(from).flatMap(({ grown }) => (typeof grown === 'object' && grown !== null ? [grown] : []));
  if (growth.length === 0) return study;
  const all = <T>(of: (part: Partial<StudyGrowth>) => unknown): T[] =>
    growth.flatMap((part) => (Array.isArray(of(part)) ? (of(part) as T[]) : []));
  const members = new Map([...study.members, ...all<StudiedMember>((part) => part.members)].map((member) => [member?.path, member]));
  const arms = [...(study.scored ?? []), ...all<StudiedArm>((part) => part.scored)];
  const scored = new Map(arms.map((arm) => [`${arm?.recipe} ${arm?.is?.[0]?.name}`, arm]));
  return { ...study, members: [...members.values()], scored: [...scored.values()] };
}

/**
 * Adds a trial; the first one tells of the study as well, and so does the first after it has grown, or what came with it.
 * @throws MergeError of the side of outputs
 */
export async function appendTrial(file: string, trial: TrialLine, identity: StudyIdentity | null, grown?: StudyGrowth): Promise<void> {
  const line = grown === undefined ? trial : { ...trial, grown };
  await appendLine(file, identity === null ? line : { ...line, schema: 'ckpt-merge/trials', version: 1, study: identity });
}

function whereOf(path: readonly PropertyKey[]): string {
  return path.length === 0 ? '' : `: ${pathText(path as (string | number)[])}`;
}

function parseLine(file: string, line: string, number: number): unknown {
  try {
    return parseJson(line);
  } catch (cause) {
    throw unusable(file, number, 'it is no JSON', cause);
  }
}

function unusable(file: string, line: number, why: string, cause?: unknown): MergeError {
  return new MergeError('E_TRIALS', `${file}: line ${line}: ${why}`, { details: { file }, cause });
}
