import { join } from 'node:path';
import { keysOf, pick } from '../../base/pick.ts';
import type { Run } from '../../checkpoints/run/types.ts';
import { surveyGrid } from '../../merge/grid/survey.ts';
import type { Survey } from '../../merge/grid/types.ts';
import { readProvenance } from '../../merge/record/read-provenance.ts';
import { CHECKS, LAUNCH, MACHINE, TRUST } from '../../recipe/options.ts';
import type { Candidate } from '../space/types.ts';
import { type StudyMember, type StudyMembers, takenForSaves } from '../study/members.ts';
import { mergingOf, type OwnIdentity, type StudyRequest } from '../study/session.ts';
import { keyOf } from '../study/study.ts';
import type { StudiedArm, StudiedMember } from '../study/trials-file.ts';
import { type AskedArm, askedArms, candidateOf, lyingOutput, membersHere } from './arms.ts';
import type { GridScoreOptions, ResolvedScores } from './options.ts';

/** What is scored, over members that are known by their content. */
export interface KnownArms {
  readonly members: StudyMembers;
  readonly scored: readonly StudiedArm[];
  /** By recipe: those that can be made or lie there, in the order in which they are scored. */
  readonly candidates: ReadonlyMap<string, { readonly arm: AskedArm; readonly candidate: Candidate }>;
  readonly lying: ReadonlyMap<string, StudyMember>;
  /** Members after these that are not there any more. */
  readonly gone: readonly StudiedMember[];
}

/** A grid that an evaluator scores, as it is by now. */
export interface LookedAt {
  readonly survey: Survey;
  readonly known: KnownArms;
  readonly own: OwnIdentity;
}

/** The study that scores a grid. */
export function studyRequest(options: ResolvedScores['options']): StudyRequest {
  const { eval: command } = options as GridScoreOptions & Pick<StudyRequest, 'eval'>;
  return {
    ...pick(options, ['metrics', 'metricFile', 'metricRegex', 'goal', 'timeout', 'evalSetup', 'evalCancel', 'evalServer']),
    ...pick(options, ['gpus', 'parallel']),
    ...pick(options, ['like', 'names', 'config', 'shardSize', 'baseModelId', 'dir', 'work', 'resume', 'force', 'log']),
    ...pick(options, [...keysOf(CHECKS), ...keysOf(MACHINE), ...keysOf(TRUST), ...keysOf(LAUNCH)]),
    eval: command,
    inputs: [options.run],
    dir: options.dir,
  };
}

/**
 * What there is to score of a grid, and which of it lies there.
 * @param before members as an earlier run of the study knew them
 * @throws MergeError for the grid as {@link surveyGrid} does
 */
export async function lookAtGrid(
  { grid, making }: ResolvedScores,
  request: StudyRequest,
  before: readonly StudiedMember[],
  signal: AbortSignal | undefined,
): Promise<LookedAt> {
  const recorded = before.flatMap(({ path, step, tokens }) => (step === null ? [] : [{ name: path, step, tokens }]));
  // What lies in the way of an output is only not scored as one: nothing is written there.
  const survey = await surveyGrid({ grid, options: { ...making, force: true }, asked: { outputs: [] }, signal, recorded });
  const known = await knownArms(await askedArms(grid, survey, recorded), survey, { before, request }, signal);
  return { survey, known, own: { kind: 'grid', legs: [], noise: 'shared', sampler: 'grid', seed: 0, scored: known.scored } };
}

async function knownArms(
  asked: readonly AskedArm[],
  { run, arms }: Pick<Survey, 'run' | 'arms'>,
  { before, request }: { readonly before: readonly StudiedMember[]; readonly request: StudyRequest },
  signal: AbortSignal | undefined,
): Promise<KnownArms> {
  const all = await takenForSaves(await membersHere(asked, signal), before);
  const here = new Map(all.map(({ step }, m) => [step!, m]));
  const gone = await goneMembers(asked, here, before, run);
  const every = new Map([...here, ...gone.map(({ step }, i): [number, number] => [step!, all.length + i])]);
  const merging = mergingOf(request);
  const scored: StudiedArm[] = [];
  const candidates = new Map<string, { arm: AskedArm; candidate: Candidate }>();
  const lying = new Map<string, StudyMember>();
  for (const arm of asked) {
    const candidate = candidateOf(arm, every);
    if (candidate === null) continue;
    const recipe = keyOf(candidate, { members: all, gone }, merging);
    const { kind, is, endpoint, tokens, flags } = arm;
    scored.push({ kind, recipe, is, endpoint, tokens, flags });
    const there = await lyingOutput(arm, signal);
    if (there !== null) lying.set(recipe, there);
    if (there === null && candidateOf(arm, here) === null) continue;
    if (!candidates.has(recipe)) candidates.set(recipe, { arm, candidate });
  }
  const pool = all.map((_, m) => m);
  const leftOut = [...new Map(arms.flatMap((arm) => arm.leftOut).map((left) => [left.name, left])).values()];
  const report = { asked: all.length + leftOut.length, found: all.length, leftOut, warnings: [] };
  const siblings = run.checkpoints.some(({ ingredient }) => ingredient !== null);
  return { members: { all, pool, last: [], siblings, report, warnings: [] }, scored, candidates, lying, gone };
}

/** Members that are not there any more: as an earlier run of the study knew them, or the record of a merge that is there. */
async function goneMembers(
  asked: readonly AskedArm[],
  here: ReadonlyMap<number, number>,
  before: readonly StudiedMember[],
  run: Run,
): Promise<readonly StudiedMember[]> {
  const gone = new Map(before.flatMap((member) => (member.step === null || here.has(member.step) ? [] : [[member.step, member] as const])));
  for (const { path, members } of asked) {
    if (path === null || members.every(({ step }) => here.has(step) || gone.has(step))) continue;
    const record = await readProvenance(path);
    for (const { name, step, tokens, fingerprint } of record?.recipe.members ?? []) {
      if (step !== null && !here.has(step) && !gone.has(step)) gone.set(step, { path: join(run.path, name), step, tokens, fingerprint });
    }
  }
  return [...gone.values()];
}
