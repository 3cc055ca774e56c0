import { groupBy } from '../../base/group-by.ts';
import { mapBounded } from '../../base/map-bounded.ts';
import { recordedPolicies } from '../../recipe/policy/files.ts';
import { policiesOf } from '../../recipe/policy/keys.ts';
import { recipeKey } from '../space/key.ts';
import type { Candidate } from '../space/types.ts';
import type { WorkFolder } from './folder.ts';
import { Lender } from './lent-model.ts';
import { isLendable, type StudyMember } from './members.ts';
import { MergeStore } from './merge-store.ts';
import { Merger, type MergeSettings, takingPart } from './merges.ts';
import { type Job, type OpenRound, type RoundTrial, type Scorable, type TrialOptions, Trials } from './trials.ts';
import type { StudiedMember, TrialLine } from './trials-file.ts';

export interface StudyOptions extends TrialOptions {
  readonly merging: MergeSettings;
  readonly work: WorkFolder;
  /** Where the best is merged to in the end, where it is. */
  readonly output?: string | undefined;
  /** Bytes of a merge. */
  readonly bytes: number;
  readonly parallel: number;
  /** Leave the merges of trials where they were made. */
  readonly keep: boolean;
  /** Merges that are there already, by recipe: they are scored as they lie. */
  readonly lying?: ReadonlyMap<string, StudyMember> | undefined;
}

/**
 * Scores recipes over the checkpoints of a run, each merged once and scored in its turn, and keeps what
 * became of them in a file that a kill cannot harm: a trial is there with its score, or it is not there and
 * is done again.
 */
export class Study extends Trials {
  readonly #options: StudyOptions;
  readonly #merges: MergeStore;
  readonly #lender: Lender;
  readonly merger: Merger;

  constructor(options: StudyOptions) {
    super(options);
    this.#options = options;
    this.merger = new Merger(options.members, options.merging);
    this.#lender = new Lender(options.work, options.merging);
    const other = options.members.find(({ checkpoint }) => !isLendable(checkpoint));
    if (other !== undefined && options.stored.length === 0) options.emit({ type: 'note', text: convertedNote(other) });
    this.#merges = new MergeStore({ ...options, merger: this.merger, trials: this, lender: this.#lender });
  }

  /** How many merges fit into the work folder. */
  get room(): number {
    return this.#merges.room;
  }

  keyOf(candidate: Candidate): string {
    const { members, gone, merging } = this.#options;
    return keyOf(candidate, { members, gone }, merging);
  }

  /**
   * Scores the recipes of a round, as far as no earlier run of the study did: those that need a merge are
   * merged in as few reads as the work folder has room for.
   * @param first id of the first of them
   * @param mayBegin asked before each trial; those for which it says no are left undone @param total of the
   *   whole study, where it is known
   * @returns the round's trials that are done, in the order of the requests
   * @throws MergeError E_EVALUATOR after three failures at the start; whatever merging throws;
   *   `signal.reason` on an abort
   */
  async round(
    first: number,
    requests: readonly RoundTrial[],
    signal: AbortSignal,
    mayBegin: () => boolean = () => true,
    total: number | null = null,
  ): Promise<readonly TrialLine[]> {
    const jobs = this.#jobsOf(first, requests);
    const alone = jobs.filter(({ request }) => this.#asItIs(request.candidate) !== null);
    const place = { round: first, roundSize: requests.length, mayBegin, total };
    const recipes = [
      ...groupBy(
        jobs.filter((job) => !alone.includes(job)),
        ({ recipe }) => recipe,
      ).values(),
    ];
    const { atOnce } = this.#merges;
    const batches = Array.from({ length: Math.ceil(recipes.length / atOnce) }, (_, i) => recipes.slice(i * atOnce, (i + 1) * atOnce));
    const work = [
      () => this.#each(alone, place, (job) => ({ lend: this.#lendMember(job), mergeSeconds: 0 }), signal),
      ...batches.map((batch) => () => this.#mergedBatch(batch, place, signal)),
    ];
    if (this.#options.driver === 'scores') await Promise.all(work.map((part) => part()));
    else for (const part of work) await part();
    return requests.flatMap((_, i) => this.trials.find(({ id }) => id === first + i) ?? []);
  }

  /** What is still to be done of a round. */
  #jobsOf(first: number, requests: readonly RoundTrial[]): Job[] {
    const done = new Set(this.trials.map(({ id }) => id));
    const asked = requests.map((request, i) => ({ id: first + i, request, recipe: this.keyOf(request.candidate) }));
    // Of trials at a time a repeat may have ended before the first of its recipe, which a kill then left
    // undone.
    const firstOf = new Map<string, number>();
    for (const { id, recipe } of [...this.trials, ...asked]) firstOf.set(recipe, Math.min(firstOf.get(recipe) ?? id, id));
    const all = asked.map((job): Job => {
      const earliest = firstOf.get(job.recipe)!;
      return { ...job, repeatOf: earliest === job.id ? null : earliest };
    });
    return all.filter(({ id }) => !done.has(id));
  }

  #lendMember({ id, request }: Job): Scorable['lend'] {
    return () => this.#lender.member(this.#asItIs(request.candidate)!, id);
  }

  /**
   * A checkpoint alone is scored without a merge, unless something else than weights is asked for, or it is
   * stored as evaluators cannot load it.
   */
  #asItIs(candidate: Candidate): StudyMember | null {
    const { members, weights, parts, treatment } = takingPart(candidate);
    const { merging, lying } = this.#options;
    const there = lying?.get(this.keyOf(candidate));
    if (there !== undefined) return there;
    const changed =
      merging.dtype !== undefined ||
      policiesOf(merging).length > 0 ||
      merging.like !== undefined ||
      merging.names !== undefined ||
      treatment !== undefined;
    if (members.length !== 1 || weights[0] !== 1 || parts.some((part) => part.weights[0] !== 1) || changed) return null;
    const member = this.#options.members[members[0]!]!;
    return isLendable(member.checkpoint) ? member : null;
  }

  /**
   * @param recipes trials of equal recipes: of them one merge is made, which all but the first only score
   *   again
   */
  async #mergedBatch(recipes: readonly (readonly Job[])[], place: OpenRound, signal: AbortSignal): Promise<void> {
    if (!place.mayBegin()) return;
    await this.#options.folder.assertHeld();
    const held = await this.#merges.hold(recipes, signal);
    const left = new Map(recipes.map((same) => [same[0]!.recipe, same.length]));
    const shared = new Set(recipes.flatMap((same) => (same.length > 1 ? [same[0]!.recipe] : [])));
    const merged = ({ id, recipe, repeatOf }: Job): Scorable => ({
      lend: () => this.#lender.merge(held.paths.get(recipe)!, id, shared.has(recipe)),
      mergeSeconds: repeatOf === null ? held.secondsOf(recipe) : 0,
    });
    try {
      await this.#each(recipes.flat(), place, merged, signal, async ({ recipe }) => {
        left.set(recipe, left.get(recipe)! - 1);
        if (left.get(recipe) === 0) await held.release(recipe);
      });
    } finally {
      await held.drop();
    }
  }

  async #each(
    jobs: readonly Job[],
    place: OpenRound,
    whatOf: (job: Job) => Scorable,
    signal: AbortSignal,
    after: (job: Job) => Promise<void> = async () => {},
  ): Promise<void> {
    // One that fails for good ends the others: what they were doing would be lost anyway.
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    let failure: unknown;
    await mapBounded(jobs, this.#options.parallel, async (job) => {
      if (either.aborted || !place.mayBegin()) return;
      try {
        await this.evaluate(job, place, whatOf(job), either);
        await after(job);
      } catch (error) {
        failure ??= signal.aborted ? signal.reason : error;
        stop.abort(error);
      }
    });
    signal.throwIfAborted();
    if (failure !== undefined) throw failure;
  }
}

function convertedNote({ checkpoint: { path, form } }: StudyMember): string {
  return `${path} is a checkpoint of ${form.writer ?? form.kind}: the evaluator gets safetensors of each model, made in the work folder, with the names that it has for its tensors`;
}

/**
 * What identifies a recipe of a study.
 * @param candidate over the members and behind them those that are gone
 */
export function keyOf(
  candidate: Candidate,
  { members, gone = [] }: { readonly members: readonly StudiedMember[]; readonly gone?: readonly StudiedMember[] | undefined },
  merging: MergeSettings,
): string {
  const { router, treatment = {} } = candidate;
  const all = [...members, ...gone];
  const places = [...all.keys()];
  // A save that goes keeps its place in the recipes that it was a member of.
  if (gone.length > 0) places.sort((a, b) => (all[a]!.step ?? 0) - (all[b]!.step ?? 0));
  const placed = <T>(values: readonly T[]) => places.map((at) => values[at]!);
  return recipeKey({
    candidate: {
      ...candidate,
      weights: placed(candidate.weights),
      parts: candidate.parts.map((part) => ({ ...part, weights: placed(part.weights) })),
      ...(candidate.of !== undefined && { of: candidate.of.map((m) => places.indexOf(m)) }),
    },
    fingerprints: placed(all).map(({ fingerprint }) => fingerprint),
    policies: recordedPolicies({ ...merging, ...(router !== undefined && { router }), ...treatment }),
    dtype: treatment.dtype ?? merging.dtype ?? null,
  });
}
