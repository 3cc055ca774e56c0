import { join } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { commandWords } from '../../base/machine/command-words.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { optionName } from '../../base/option-words.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { fingerprintLike, hasTodaysDefinition } from '../../checkpoints/fingerprint.ts';
import { goalOf, UNSAID } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { inputAround } from '../../merge/plan/outputs/output-path.ts';
import { CHECKS, LAUNCH, MACHINE, TRUST } from '../../recipe/options.ts';
import { recordedPolicies } from '../../recipe/policy/files.ts';
import { checkReadOptions } from '../evaluate/results/read.ts';
import type { Candidate } from '../space/types.ts';
import { differences } from './differences.ts';
import { refuseForeignReports, StudyFolder, type WorkFolder } from './folder.ts';
import { grownIdentity, tellsAll } from './grown.ts';
import { LiveReport } from './live-report.ts';
import { FINGERPRINTS_AT_ONCE, type MembersRequest, type StudyMember, type StudyMembers, studyMembers, takenForSaves } from './members.ts';
import { Merger, type MergeSettings, type TakingPart, takingPart } from './merges.ts';
import { refuseRanks } from './one-process.ts';
import { foundTrials, Records, resumedTrials } from './records.ts';
import { commandText, type EvaluationSettings, metricTexts, readOptions, scorerOf } from './scorer.ts';
import { Study } from './study.ts';
import type { ScoreModel } from './trials.ts';
import { readTrials, type StoredTrials, type StudiedMember, type StudyIdentity, storedGoal, TRIALS_FILE } from './trials-file.ts';
import type { StudyEvent } from './types.ts';

/** What a study needs to know, whatever it tries. */
export interface StudyRequest extends MembersRequest, MergeSettings, EvaluationSettings {
  /**
   * Where the best is to be merged to, where it is: what stands in its way is found before the first trial.
   */
  readonly output?: string | undefined;
  /** Folder of its trials, logs and reports. */
  readonly dir: string;
  /** Where merges are made; in memory where they fit and this process makes them, else in `dir`. */
  readonly work?: string | undefined;
  /** Leave the merges of trials: in `work`, or in `dir`. */
  readonly keep?: boolean | undefined;
  /** Go on with what is in `dir`. */
  readonly resume?: boolean | undefined;
  /** Where scores are logged as they come: `csv`, `jsonl`, `tensorboard`, each alone or with `=PATH`; `wandb`, `mlflow`. */
  readonly log?: readonly string[] | undefined;
  /** Begin anew, whatever is in `dir`, and replace an existing output; with `resume` only the latter. */
  readonly force?: boolean | undefined;
}

/** What of its identity only the kind of study knows. */
export type OwnIdentity = Pick<StudyIdentity, 'kind' | 'legs' | 'noise' | 'sampler' | 'seed' | 'scored'>;

/** What an observer sees of a study. */
export interface ObservedStudy {
  /** Of the trials. */
  readonly folder: string;
  /** All trials as files have them, in the order in which they ended. */
  readonly stored: () => StoredTrials;
  /** Says a warning once. */
  readonly warn: (warnings: readonly Warning[]) => void;
}

/** What is told of trials that are on disk: it never ends a study. */
export interface TrialObserver {
  /** A trial came; returns at once. */
  update(): void;
  end(): Promise<void>;
}

/** A study that is under way. */
export interface Session {
  readonly study: Study;
  readonly folder: StudyFolder;
  readonly members: StudyMembers;
  readonly identity: StudyIdentity;
  /** How its files tell of it. */
  readonly records: Records;
  readonly work: WorkFolder;
  readonly merging: MergeSettings;
  /** Bytes of a merge. */
  readonly bytes: number;
  /** Merges that are there already, by recipe. */
  readonly lying: ReadonlyMap<string, StudyMember> | undefined;
  /** Members that are not there any more: of merges that are. */
  readonly gone: readonly StudiedMember[] | undefined;
  /** Its page while it goes on. */
  readonly live: LiveReport;
  /** Tells of what happens, the page too. */
  readonly emit: (event: StudyEvent) => void;
  /** As a trial or the user says it, from the first score on. */
  goal(): Goal;
  close(): Promise<void>;
}

/**
 * Finds the members, and refuses what no trial could get over. @throws MergeError of options, and of finding
 * and opening checkpoints
 */
export async function checkedMembers(request: StudyRequest, signal: AbortSignal): Promise<StudyMembers> {
  if (request.launcher !== undefined) commandWords(request.launcher, 'launcher');
  checkEvaluation(request);
  const members = await studyMembers(request, signal);
  await refuseInsideInputs(request, members);
  return members;
}

/** Refuses what no evaluation could get over. @throws MergeError of options */
export function checkEvaluation(request: EvaluationSettings): void {
  refuseRanks();
  checkReadOptions(readOptions(request));
  const { parallel, gpus, timeout } = request;
  if (parallel !== undefined && !(Number.isSafeInteger(parallel) && parallel > 0 && parallel <= MOST.parallel)) {
    throw new MergeError('E_OPTION', `${optionName('parallel')} must be a whole number from 1 to ${MOST.parallel}, not ${parallel}`);
  }
  if (timeout !== undefined && !(timeout > 0 && timeout <= MOST.timer)) {
    throw new MergeError('E_OPTION', `${optionName('timeout')} must be over 0 and at most ${MOST.timer} seconds, not ${timeout}`);
  }
  if (gpus !== undefined && gpus.length < (parallel ?? 1)) {
    throw new MergeError(
      'E_OPTION',
      `${parallel} evaluations at a time need as many devices, and ${optionName('gpus')} names ${gpus.length}`,
    );
  }
  // Made again by the session: here for what it refuses, before there is a folder.
  scorerOf(request);
}

/** Inputs are never written, and so nothing is kept in them. @throws MergeError E_OUTPUT_OVERLAPS_INPUT */
export async function refuseInsideInputs(
  { dir, work }: Pick<StudyRequest, 'dir' | 'work'>,
  { all }: { readonly all: readonly { readonly checkpoint: Pick<Checkpoint, 'path' | 'kind'> }[] },
): Promise<void> {
  const checkpoints = all.map(({ checkpoint }) => checkpoint);
  for (const [path, holds] of [
    [dir, 'the trials'],
    [work, 'merges'],
  ] as const) {
    const input = path === undefined ? null : await inputAround(path, checkpoints);
    if (input === null) continue;
    throw new MergeError('E_OUTPUT_OVERLAPS_INPUT', `the folder for ${holds}, ${path}, lies in the checkpoint ${input}`, {
      details: { file: path! },
      help: 'Name a folder beside the run.',
    });
  }
}

/**
 * Opens the folder of a study, goes on with what is there or begins, and looks whether its members can be
 * merged at all.
 * @throws MergeError E_OUTPUT_EXISTS where there is a study and nothing says what to do with it;
 *   E_SEARCH_STATE, E_TRIALS, E_SEARCH_BUSY; whatever planning a merge throws
 */
export async function openSession(
  request: StudyRequest,
  found: StudyMembers,
  own: OwnIdentity,
  how: {
    readonly emit: (event: StudyEvent) => void;
    readonly signal: AbortSignal;
    readonly driver?: StudyDriver | undefined;
    /** Opens what is told of each trial that is on disk. */
    readonly observe?: (study: ObservedStudy) => Promise<TrialObserver>;
    /** Every trial has to have a score. */
    readonly whole?: boolean;
    /** Roles that trials give weights of their own. */
    readonly roles?: readonly string[];
    /** Evaluations that come after those of the study. */
    readonly afterwards?: number;
    /** One of each sort of merges, where these are not all of one size: room is made for the largest. */
    readonly sorts?: readonly Candidate[];
    /** Merges that are there already, by recipe. */
    readonly lying?: ReadonlyMap<string, StudyMember>;
    /** Members beside those found that are not there any more: of merges that are. */
    readonly gone?: readonly StudiedMember[];
  },
): Promise<Session> {
  const folder = await StudyFolder.open(request.dir);
  const live = new LiveReport();
  const emit = (event: StudyEvent): void => {
    how.emit(event);
    live.hear(event);
  };
  try {
    const file = join(folder.path, TRIALS_FILE);
    const { members, identity, ...stored } = await storedTrials(folder, file, found, request, own);
    const records = new Records(folder.path, identity, { others: [request.output, request.like].filter((path) => path !== undefined) });
    let observer: TrialObserver | null = null;
    const { study, work, bytes, merging, goal } = await startStudy(request, {
      driver: undefined,
      ...how,
      emit,
      folder,
      members,
      identity,
      records,
      stored,
      onRecorded: () => observer?.update(),
    });
    const written = () => ({ identity: records.identity(identity), trials: study.trials.map((trial) => records.trial(trial)) });
    observer = (await how.observe?.({ folder: folder.path, stored: written, warn: (warnings) => study.warn(warnings) })) ?? null;
    return {
      study,
      folder,
      members,
      identity,
      records,
      work,
      merging,
      bytes,
      lying: how.lying,
      gone: how.gone,
      live,
      emit,
      goal,
      close: async () => {
        await live.end();
        await observer?.end();
        await folder.close();
      },
    };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

/**
 * Refuses what the folders of a study would be refused for, where something long comes before it.
 * @throws MergeError as {@link openSession} does of folders and of the trials in them
 */
export async function checkFolders(request: StudyRequest, found: StudyMembers, own: OwnIdentity): Promise<void> {
  const folder = await StudyFolder.open(request.dir);
  try {
    await storedTrials(folder, join(folder.path, TRIALS_FILE), found, request, own);
    if (request.work !== undefined) await folder.makeWork(request.work, false, 0);
  } finally {
    await folder.close();
  }
}

/** Another program that asks for the trials. */
export interface StudyDriver {
  /** Where it scores them as well, instead of the evaluator. */
  readonly score?: ScoreModel | undefined;
}

interface Start {
  readonly folder: StudyFolder;
  readonly members: StudyMembers;
  readonly identity: StudyIdentity;
  readonly records: Records;
  readonly stored: StoredStart;
  readonly emit: (event: StudyEvent) => void;
  readonly signal: AbortSignal;
  readonly driver: StudyDriver | undefined;
  readonly onRecorded: () => void;
  readonly whole?: boolean;
  readonly roles?: readonly string[];
  readonly afterwards?: number;
  readonly sorts?: readonly Candidate[];
  readonly lying?: ReadonlyMap<string, StudyMember>;
  readonly gone?: readonly StudiedMember[];
}

type StoredStart = Pick<Awaited<ReturnType<typeof storedTrials>>, 'trials' | 'goal' | 'grown'>;

async function startStudy(request: StudyRequest, start: Start) {
  const { folder, members, identity, records, stored, emit, signal, driver, whole, afterwards, lying, gone } = start;
  const merging = mergingOf(request);
  const { all, pool } = members;
  const bytes = await bytesOfMerge(request, start, pool);
  const work = await folder.makeWork(
    request.work ?? (request.launcher === undefined ? undefined : folder.path),
    request.keep ?? false,
    bytes,
  );
  const reading = readOptions(request);
  const score = driver?.score;
  const scorer = score === undefined ? scorerOf(request) : { score, setup: async () => {} };
  if (stored.trials.length === 0) {
    await scorer.setup(signal);
    // Not before everything that could be refused was: what was paid for may be in there.
    await folder.clear();
  }
  // Of scores that do not say which are better, no proposal could be made.
  const told = stored.trials.find(({ status }) => status === 'complete');
  let goal =
    identity.goal ?? stored.goal ?? (told === undefined ? null : goalOf(undefined, { ...told, source: told.source ?? '' }, reading));
  const study = new Study({
    folder,
    file: TRIALS_FILE,
    members: all,
    identity,
    records,
    stored: stored.trials,
    merging,
    work,
    bytes,
    output: request.output,
    parallel: score === undefined ? (request.parallel ?? 1) : Number.MAX_SAFE_INTEGER,
    driver: driver === undefined ? null : score === undefined ? 'asks' : 'scores',
    keep: request.keep ?? false,
    lying,
    gone,
    grown: stored.grown,
    whole,
    afterwards,
    emit,
    onRecorded: start.onRecorded,
    score: scorer.score,
    onScore: (found) => {
      goal ??= goalOf(request.goal, found, reading);
    },
  });
  study.warn(members.warnings);
  return { study, work, bytes, merging, goal: () => goal ?? UNSAID };
}

/**
 * Room that a merge needs. Plans the mean of the pool, with all roles that have weights of their own: it
 * meets every conflict that any merge of these members could, as a role that the model has not.
 */
async function bytesOfMerge(request: StudyRequest, start: Start, pool: readonly number[]): Promise<number> {
  const { sorts = [], roles = [] } = start;
  const weights = pool.map(() => 1 / pool.length);
  const mean = { members: pool, weights, parts: roles.map((role) => ({ role, weights })) };
  let most = 0;
  for (const taking of sorts.length === 0 ? [mean] : sorts.map(takingPart)) most = Math.max(most, await bytesOf(request, start, taking));
  return most;
}

async function bytesOf(request: StudyRequest, { folder, members, signal, roles = [] }: Start, taking: TakingPart): Promise<number> {
  const merger = new Merger(members.all, mergingOf(request));
  // One that an earlier run of the study made may be there on a resume.
  const path = request.output === undefined || request.resume ? join(folder.path, 'planned') : request.output;
  const plan = await merger.plan([{ path, taking }], { force: request.force === true, signal }).catch((error: unknown) => {
    if (!(error instanceof MergeError && error.code === 'E_POLICY_UNUSED') || roles.length === 0) throw error;
    const { message, details } = error;
    const help = `Weights of their own are asked for ${roles.join(', ')} (separate, or roles of the space): leave out what the model has not.`;
    throw new MergeError('E_POLICY_UNUSED', message, { details, help, cause: error });
  });
  // As the engine sees it, which keeps some for what it does not know the size of; and the copies that an
  // evaluation gets of what lies beside the weights.
  return plan.freeBytesNeeded + plan.outputs[0]!.sideFiles.reduce((sum, { size }) => sum + size, 0);
}

/** What a folder has of a study, and the members as that names them. */
async function storedTrials(folder: StudyFolder, file: string, found: StudyMembers, request: StudyRequest, own: OwnIdentity) {
  const { resume, force } = request;
  const none = { trials: [], goal: null, grown: false, members: found, identity: identityOf(request, found, own) } as const;
  if (force && !resume) return none;
  const stored = await readTrials(file, { mend: resume === true });
  if (stored === null) await refuseForeignReports(folder.path);
  // Nothing that was paid for is lost where no trial has a score yet.
  if (stored === null || !stored.trials.some(({ status }) => status === 'complete')) return none;
  const like = await inDefinitionOf(stored.identity, found);
  const members = { ...like, all: await takenForSaves(like.all, stored.identity.members) };
  const identity = grownIdentity(foundTrials(folder.path, stored), identityOf(request, members, own));
  const differing = differences(stored.identity, identity);
  // Ended because nobody said which scores are better, it found nothing that could be lost: the same command
  // with the goal is the answer to that.
  const onlyAsked = storedGoal(stored) === null && differing.length === 0;
  if (!resume && !onlyAsked) {
    const scored = stored.trials.filter(({ status }) => status === 'complete').length;
    throw new MergeError(
      'E_OUTPUT_EXISTS',
      `${folder.path} holds a ${stored.identity.kind} with ${scored} scored ${scored === 1 ? 'trial' : 'trials'}`,
      {
        details: { file: folder.path },
        help: 'Go on with it with --resume, begin anew with --force, or name another folder with --dir.',
      },
    );
  }
  if (onlyAsked && !resume) await readTrials(file, { mend: true });
  if (differing.length > 0) {
    throw new MergeError('E_SEARCH_STATE', `${file}: it was begun with other settings: ${differing.join('; ')}`, { details: { file } });
  }
  const grown = !tellsAll(stored.identity, identity);
  return { trials: resumedTrials(stored, identity.members), goal: storedGoal(stored), grown, members, identity };
}

/** Members by fingerprints of the definition that a study began with: recipes of its trials are known by them. */
async function inDefinitionOf({ members: [first] }: StudyIdentity, found: StudyMembers): Promise<StudyMembers> {
  if (first === undefined || hasTodaysDefinition(first.fingerprint)) return found;
  const all = await mapBounded(found.all, FINGERPRINTS_AT_ONCE, async (member) => {
    return { ...member, fingerprint: await fingerprintLike(member.checkpoint, first.fingerprint) };
  });
  return { ...found, all };
}

function identityOf(request: StudyRequest, { all, pool, last }: StudyMembers, own: OwnIdentity): StudyIdentity {
  return {
    ...own,
    inputs: request.inputs,
    members: all.map(({ path, epoch, step, tokens, fingerprint }) => ({
      path,
      ...(epoch !== undefined && { epoch }),
      ...{ step, tokens, fingerprint },
    })),
    pool,
    last,
    evaluator: commandText(request.eval),
    metrics: metricTexts(request.metrics),
    goal: request.goal ?? null,
    policies: recordedPolicies(request),
    dtype: request.dtype ?? null,
  };
}

/** What all merges of a study have in common. */
export function mergingOf(request: StudyRequest): MergeSettings {
  const own = ['like', 'names', 'config', 'shardSize', 'baseModelId', 'policies', 'router', 'dtype'] as const;
  return pick(request, [...own, ...keysOf(CHECKS), ...keysOf(MACHINE), ...keysOf(TRUST), ...keysOf(LAUNCH)]);
}
