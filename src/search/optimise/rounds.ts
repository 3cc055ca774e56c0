import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { conclude } from '../conclusion/conclude.ts';
import { errorVariance } from '../conclusion/difference.ts';
import type { Point } from '../gaussian-process/cube.ts';
import type { History, Proposal, Sampler } from '../sampler/types.ts';
import type { Candidate, Params } from '../space/types.ts';
import type { StudyMembers } from '../study/members.ts';
import { type NextRound, placeOfRound } from '../study/rounds.ts';
import type { RoundTrial } from '../study/trials.ts';
import type { TrialLine } from '../study/trials-file.ts';
import type { Ending, TrialKind } from '../study/types.ts';
import { type Leg, locateInLeg, meanOf, overAll } from './legs.ts';

/** How often a sampler is asked again for proposals of recipes that it has proposed already. */
const TRIES = 8;

/** What decides which recipes are tried next. */
export interface RoundSettings {
  readonly legs: readonly Leg[];
  /** Asked for once the first score has told which scores are better. */
  readonly sampler: (leg: Leg) => Sampler;
  readonly members: StudyMembers;
  /** Recipes that a leg tries, newest and uniform mean among them; SMA and single members come on top. */
  readonly trials: number;
  readonly parallel: number;
  /** How often each recipe is scored. */
  readonly repeats: number;
  readonly scoreMembers: boolean;
  /** Trials of a leg in a row that bring nothing better, after which it ends. */
  readonly patience: number | null;
  /** Trials of a leg after which the newest checkpoint is scored again; null for never. */
  readonly anchorEvery: number | null;
  /** End a leg where its scores show no differences. */
  readonly stopsWhenAlike: boolean;
  readonly seed: number;
  readonly noise: 'shared' | 'independent';
  readonly keyOf: (candidate: Candidate) => string;
}

/**
 * What a search tries next, given what it tried: a function of the trials alone, so that a resumed search
 * goes on as it would have. Of a round that was cut off the same requests come again. The first round is the
 * newest checkpoint alone: it shows whether the evaluator works before anything is merged.
 */
export function roundsOf(settings: RoundSettings): NextRound {
  return async (trials, goal, signal) => {
    const { first, known, size } = placeOfRound(trials);
    let ended: Ending = 'trials';
    for (const leg of settings.legs) {
      const planner = new RoundPlanner(settings, leg, known, goal);
      const { requests, ending } = await planner.plan(size, signal);
      if (requests.length > 0)
        return { first, requests, total: Math.max(known.length + requests.length, await expectedTotal(settings, known, goal)) };
      ended = ending;
    }
    return { ended };
  };
}

/** A trial that was handed out and has no outcome yet. */
export interface OpenTrial {
  readonly recipe: string;
  readonly point: Point | null;
}

/**
 * What a driver gets that asks for recipes: baselines that nobody asked for yet, then proposals of the
 * sampler, down to none where it has no more.
 * @param open trials without an outcome
 */
export function nextAsked(
  settings: RoundSettings,
  asked: { readonly trials: readonly TrialLine[]; readonly open: readonly OpenTrial[]; readonly goal: Goal; readonly count: number },
  signal: AbortSignal,
): Promise<readonly RoundTrial[]> {
  return new RoundPlanner(settings, settings.legs[0]!, asked.trials, asked.goal, asked.open).asked(asked.count, signal);
}

/** Evaluations of a whole search that goes on to its end. */
async function expectedTotal(settings: RoundSettings, known: readonly TrialLine[], goal: Goal): Promise<number> {
  const { trials, repeats, legs, anchorEvery } = settings;
  let extras = 0;
  for (const leg of legs) extras += await new RoundPlanner(settings, leg, known, goal).extras();
  const anchors = anchorEvery === null ? 0 : Math.floor(Math.max(0, trials - 2) / anchorEvery);
  return legs.length * (trials * repeats + anchors) + extras * repeats;
}

class RoundPlanner {
  readonly #settings: RoundSettings;
  readonly #leg: Leg;
  /** Trials of this leg. */
  readonly #own: readonly TrialLine[];
  readonly #goal: Goal;
  readonly #open: readonly OpenTrial[];

  constructor(settings: RoundSettings, leg: Leg, known: readonly TrialLine[], goal: Goal, open: readonly OpenTrial[] = []) {
    this.#open = open;
    this.#settings = settings;
    this.#leg = leg;
    this.#own = known.filter((trial) => trial.leg === leg.index);
    this.#goal = goal;
  }

  /** @param size of the round where it was begun before, else null */
  async plan(size: number | null, signal: AbortSignal): Promise<{ requests: readonly RoundTrial[]; ending: Ending }> {
    const { repeats } = this.#settings;
    const newest = await this.#baseline('newest', meanOf([this.#leg.members.at(-1)!], this.#count));
    if (this.#own.length === 0) return { requests: [newest], ending: 'trials' };
    const begun = this.#own.some(({ kind }) => kind !== 'newest');
    const baselines = begun ? [] : await this.#baselines();
    const again = begun ? [] : Array.from({ length: repeats - 1 }, () => newest);
    const room = this.#settings.trials - this.#counted(baselines);
    if (begun && this.#outOfPatience()) return { requests: [], ending: 'patience' };
    if (begun && size === null && room > 0 && this.#showsNoDifferences()) return { requests: [], ending: 'alike' };
    const most = size === null ? this.#ahead(baselines) : this.#proposalsIn(size - again.length - baselines.length * repeats);
    const proposals = await this.#propose(baselines, Math.min(most, Math.max(0, room)), signal);
    const fresh = [...baselines, ...proposals];
    // Repeats come last, so that ids of recipes do not depend on how often each is scored.
    const repeated = Array.from({ length: repeats - 1 }, () => fresh).flat();
    const before = this.#proposed;
    const anchored = proposals.flatMap((proposal, i) => (this.#anchorIsAfter(before + i + 1) ? [proposal, newest] : [proposal]));
    return { requests: [...baselines, ...anchored, ...again, ...repeated], ending: room <= 0 ? 'trials' : 'exhausted' };
  }

  /** Recipes that are scored on top of those that the leg tries, to come or done. */
  async extras(): Promise<number> {
    const begun = this.#own.some(({ kind }) => kind !== 'newest');
    const newest = await this.#baseline('newest', meanOf([this.#leg.members.at(-1)!], this.#count));
    const all = begun
      ? this.#own.filter(({ repeatOf }) => repeatOf === null)
      : await this.#baselines(this.#settings.keyOf(newest.candidate));
    return all.filter(({ kind }) => kind === 'sma' || kind === 'single').length;
  }

  async asked(count: number, signal: AbortSignal): Promise<readonly RoundTrial[]> {
    const newest = await this.#baseline('newest', meanOf([this.#leg.members.at(-1)!], this.#count));
    const all = [newest, ...(await this.#baselines(this.#settings.keyOf(newest.candidate)))];
    const known = new Set([...this.#own, ...this.#open].map(({ recipe }) => recipe));
    const baselines = all.filter(({ candidate }) => !known.has(this.#settings.keyOf(candidate))).slice(0, count);
    return [...baselines, ...(await this.#propose(baselines, count - baselines.length, signal))];
  }

  get #count(): number {
    return this.#settings.members.all.length;
  }

  /**
   * Uniform mean, SMA over the last of the run (once, with the newest leg), and single members where they are
   * asked for; each recipe once.
   */
  async #baselines(...others: readonly string[]): Promise<RoundTrial[]> {
    const { members, scoreMembers, legs } = this.#settings;
    const wanted: [TrialKind, Candidate][] = [['uniform', meanOf(this.#leg.members, this.#count)]];
    if (this.#leg.index === legs.length - 1) wanted.push(['sma', meanOf(members.last, this.#count)]);
    if (scoreMembers) for (const member of this.#leg.members.slice(0, -1)) wanted.push(['single', meanOf([member], this.#count)]);
    const taken = new Set([...others, ...this.#own.map(({ recipe }) => recipe)]);
    const requests: RoundTrial[] = [];
    for (const [kind, candidate] of wanted) {
      const key = this.#settings.keyOf(candidate);
      if (taken.has(key)) continue;
      taken.add(key);
      requests.push(await this.#baseline(kind, candidate));
    }
    return requests;
  }

  async #baseline(kind: TrialKind, candidate: Candidate): Promise<RoundTrial> {
    const place = await locateInLeg(candidate, this.#leg);
    return { kind, candidate, params: place?.params ?? null, point: place?.point ?? null, leg: this.#leg.index };
  }

  /** Of proposals for one recipe the first is taken: two points may stand for the same weights. */
  async #propose(baselines: readonly RoundTrial[], count: number, signal: AbortSignal): Promise<readonly RoundTrial[]> {
    const found: RoundTrial[] = [];
    for (let tries = 0; found.length < count && tries < TRIES; tries++) {
      const before = [...baselines, ...found];
      const keys = new Set(before.map(({ candidate }) => this.#settings.keyOf(candidate)));
      const proposals = await this.#settings.sampler(this.#leg).propose(this.#history(before), count - found.length, signal);
      if (proposals.length === 0) break;
      for (const proposal of proposals) {
        const request = await this.#requestOf(proposal);
        const key = this.#settings.keyOf(request.candidate);
        if (!keys.has(key)) found.push(request);
        keys.add(key);
      }
    }
    return found;
  }

  async #requestOf({ point, by, proposals }: Proposal): Promise<RoundTrial> {
    const { space } = this.#leg;
    const params = space.decode(point);
    const candidate = overAll(await space.candidate(params), this.#leg.members, this.#count);
    return { kind: 'trial', params, point, candidate, by, leg: this.#leg.index, ...(proposals === undefined ? {} : { proposals }) };
  }

  #ahead(baselines: readonly RoundTrial[]): number {
    const ahead = this.#settings.sampler(this.#leg).ahead?.(this.#history(baselines)) ?? 0;
    return Math.max(ahead, this.#settings.parallel);
  }

  /** @param before requests of the same round */
  #history(before: readonly RoundTrial[]): History {
    const known = [...this.#own, ...this.#open].map(({ recipe }) => recipe);
    const keys = new Set([...known, ...before.map(({ candidate }) => this.#settings.keyOf(candidate))]);
    const { space } = this.#leg;
    const { sign } = directionOf(this.#goal);
    const keyAt = async (params: Params) => this.#settings.keyOf(overAll(await space.candidate(params), this.#leg.members, this.#count));
    return {
      observed: this.#own.flatMap(({ id, point, status, score, stderr, by, proposals }) => {
        if (point === null || status === 'skipped') return [];
        const variance = this.#settings.noise === 'independent' && stderr !== null ? errorVariance(stderr) : null;
        return [{ id, point, value: score === null ? null : sign * score, variance, by, proposals }];
      }),
      pending: [...this.#open, ...before].flatMap(({ point }) => (point === null ? [] : [point])),
      proposed:
        [...this.#own.filter(({ repeatOf }) => repeatOf === null), ...before].filter(({ kind }) => kind === 'trial').length +
        this.#open.length,
      isTaken: async (point: Point) => keys.has(await keyAt(space.decode(point))),
    };
  }

  #counted(baselines: readonly RoundTrial[]): number {
    const counts = (kind: TrialKind) => kind === 'newest' || kind === 'uniform' || kind === 'trial';
    const own = this.#own.filter(({ kind, repeatOf }) => counts(kind) && repeatOf === null).length;
    return own + baselines.filter(({ kind }) => counts(kind)).length;
  }

  /** Recipes of the sampler that were tried. */
  get #proposed(): number {
    return this.#own.filter(({ kind, repeatOf }) => kind === 'trial' && repeatOf === null).length;
  }

  /** Whether the newest is scored again after so many proposals: within a batch too, where scores drift as they do between. */
  #anchorIsAfter(proposals: number): boolean {
    const { anchorEvery } = this.#settings;
    return anchorEvery !== null && proposals % anchorEvery === 0;
  }

  /** Proposals of a round that was cut off. @param evaluations of them, their repeats and the anchors between */
  #proposalsIn(evaluations: number): number {
    const before = this.#proposed;
    let proposals = 0;
    for (let left = evaluations; ; proposals++) {
      left -= this.#settings.repeats + (this.#anchorIsAfter(before + proposals + 1) ? 1 : 0);
      if (left < 0) return proposals;
    }
  }

  #showsNoDifferences(): boolean {
    const { noise, seed, stopsWhenAlike } = this.#settings;
    if (!stopsWhenAlike || this.#leg.space.parameters.length === 0) return false;
    const baselines = (['newest', 'uniform'] as const).flatMap((name) => {
      const trial = this.#own.find(({ kind, repeatOf }) => kind === name && repeatOf === null);
      return trial === undefined ? [] : [{ name, label: name, trial: trial.id }];
    });
    const { conclusion } = conclude({ goal: this.#goal, noise, seed, trials: this.#own, space: this.#leg.space, baselines });
    return conclusion.noDifferences !== undefined;
  }

  #outOfPatience(): boolean {
    const { patience } = this.#settings;
    if (patience === null) return false;
    const inOrder = this.#own.filter(({ repeatOf, status }) => repeatOf === null && status !== 'skipped').sort((a, b) => a.id - b.id);
    const { better } = directionOf(this.#goal);
    let best: number | null = null;
    let since = 0;
    for (const { score, kind } of inOrder) {
      if (score !== null && (best === null || better(score, best))) {
        best = score;
        since = 0;
      } else if (kind === 'trial') since += 1;
    }
    return since >= patience;
  }
}
