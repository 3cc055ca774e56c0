import type { Warning } from '../../base/errors.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { fingerprint } from '../../checkpoints/fingerprint.ts';
import { isRunFolder } from '../../checkpoints/run/discover.ts';
import { comparePlaces } from '../../checkpoints/run/position.ts';
import type { TokenSource } from '../../checkpoints/run/types.ts';
import type { Checkpoint, Moment } from '../../checkpoints/types.ts';
import { membersOfRecipe } from '../../merge/members/of-recipe.ts';
import type { FoundMembers } from '../../merge/plan/types.ts';
import { copiedFrom } from '../../merge/record/copied-from.ts';
import type { MemberReport, Selection } from '../../recipe/select/types.ts';
import type { Params } from '../space/types.ts';

/**
 * Checkpoints in the mean that every search is measured against, beside the newest and its own uniform mean.
 */
export const SMA_MEMBERS = 10;
export const FINGERPRINTS_AT_ONCE = 8;

/** A checkpoint that recipes of a study are made of. */
export interface StudyMember extends Moment {
  readonly fingerprint: string;
  /** Of what lies there, where that is a copy of the model of a save, which `fingerprint` is of. */
  readonly copy?: string;
  readonly checkpoint: Checkpoint;
}

/**
 * Members as an earlier run of a study knew them: a copy of the model of a save that it had, by its record, is taken
 * for that save.
 */
export function takenForSaves(
  members: readonly StudyMember[],
  before: readonly Pick<StudyMember, 'fingerprint'>[],
): Promise<readonly StudyMember[]> {
  const known = new Set(before.map(({ fingerprint }) => fingerprint));
  return mapBounded(members, FINGERPRINTS_AT_ONCE, async (member) => {
    if (known.size === 0 || known.has(member.fingerprint)) return member;
    const save = await copiedFrom(member.path);
    return save === null || !known.has(save) ? member : { ...member, fingerprint: save, copy: member.fingerprint };
  });
}

/**
 * Whether an evaluator can be given a checkpoint as it lies there: what is stored in parts, or is no
 * safetensors, is made into some first.
 */
export function isLendable({ form, shards }: Pick<Checkpoint, 'form' | 'shards'>): boolean {
  return form.kind === 'safetensors' && shards.every(({ tensors }) => tensors.boxes === null);
}

/** The checkpoints of a study, oldest first. */
export interface StudyMembers {
  readonly all: readonly StudyMember[];
  /** Which of them were selected: the pool of recipes. */
  readonly pool: readonly number[];
  /** The last of the run, up to 10, whatever was selected. */
  readonly last: readonly number[];
  /** Trainings from one start, none of which is older than another. */
  readonly siblings: boolean;
  /** How many there are of those that were asked for. */
  readonly report: FoundMembers;
  readonly warnings: readonly Warning[];
}

/**
 * What checkpoints go by among each other: their steps, or where not all have one of their own (siblings,
 * stages and epochs that count anew) their paths.
 */
export function namesAmong(members: readonly Moment[]): (one: Moment) => Params {
  const steps = new Set(members.map(({ step }) => step));
  const distinct = steps.size === members.length;
  return ({ step, path }) => (step === null || !distinct ? { checkpoint: path } : { step });
}

/** What a document says of its pool; of what is read from trials, that it is all. */
export function memberCounts(report: MemberReport | undefined, pool: number): MemberReport {
  const { asked, found, leftOut } = report ?? { asked: pool, found: pool, leftOut: [] };
  return { asked, found, leftOut };
}

export interface MembersRequest extends TokenSource {
  /** A run folder, or checkpoints. */
  readonly inputs: readonly string[];
  readonly select?: Selection | undefined;
  readonly strict?: boolean | undefined;
}

/**
 * Finds the members of a study; reads headers and sampled blocks.
 * @throws MergeError whatever finding and opening checkpoints throws; `signal.reason` on an abort
 */
export async function studyMembers(request: MembersRequest, signal?: AbortSignal): Promise<StudyMembers> {
  const { inputs, select, strict, tokensPerStep, batchSchedule, tokensFile } = request;
  const source = { tokensPerStep, batchSchedule, tokensFile };
  const find = (selection: Selection | undefined, options: Parameters<typeof membersOfRecipe>[1]) =>
    membersOfRecipe(
      { inputs, ...source, outputs: [{ path: 'study', ...(selection === undefined ? {} : { select: selection }) }] },
      options,
    );
  const folder = inputs.length === 1 && (await isRunFolder(inputs[0]!, { orCheckpoint: true }));
  // A folder that is a run and a checkpoint is a run here: of one checkpoint there is nothing to search.
  const chosen = await find(folder ? (select ?? {}) : select, { strict, signal });
  const { last, every, steps, minInterval, minMembers, ...where } = select ?? {};
  const siblings = select?.eachIngredient !== undefined || (inputs.length > 1 && (await isRunFolder(inputs[0]!)));
  // A mean over two stages is no baseline of a search within one.
  const stages = new Set(chosen.members.map(({ stage }) => stage));
  const [stage] = stages.size === 1 ? stages : [];
  const own = { ...where, ...(stage != null && { stage }), last: SMA_MEMBERS };
  const newest = folder && !siblings ? await find(own, { signal }) : null;

  const found = new Map([...(newest?.members ?? []), ...chosen.members].map((member) => [member.path, member]));
  const opened = new Map([...(newest?.checkpoints ?? []), ...chosen.checkpoints].map((checkpoint) => [checkpoint.path, checkpoint]));
  const inRun = [...new Set([...chosen.members, ...(newest?.members ?? [])].map(({ path }) => path))];
  const order = newest === null ? inRun : inRun.sort((a, b) => comparePlaces(found.get(a)!, found.get(b)!));
  const place = new Map(order.map((path, i) => [path, i]));
  return {
    all: await mapBounded(order, FINGERPRINTS_AT_ONCE, async (path) => {
      signal?.throwIfAborted();
      const { epoch, step, tokens } = found.get(path)!;
      const checkpoint = opened.get(path)!;
      const place = { path, ...(epoch !== undefined && { epoch }), step, tokens };
      return { ...place, fingerprint: await fingerprint(checkpoint, signal), checkpoint };
    }),
    pool: chosen.members.map(({ path }) => place.get(path)!),
    last: (newest ?? chosen).members.slice(-SMA_MEMBERS).map(({ path }) => place.get(path)!),
    siblings,
    report: chosen.report,
    warnings: chosen.warnings,
  };
}
