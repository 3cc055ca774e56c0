import { basename } from 'node:path';
import { MergeError, type Warning } from '../../../base/errors.ts';
import { storeOf } from '../../../base/store/store.ts';
import type { ReadOptions } from '../../../checkpoints/results/metric.ts';
import type { Outcome } from '../../../search/evaluate/evaluator.ts';
import { type Result, readResults, resultsIn } from '../../../search/grid/results.ts';
import { readOptions } from '../../../search/study/scorer.ts';
import type { StudyIdentity, TrialLine } from '../../../search/study/trials-file.ts';
import type { WatchOptions } from '../types.ts';
import { growthOf } from './arms.ts';
import { evaluationOf } from './options.ts';
import { nameOf, type Waiting } from './queue.ts';

/** Names that a warning shows. */
const SHOWN = 5;

interface Given {
  readonly waiting: Waiting;
  readonly outcome: Outcome;
}

/** A result that was taken, as it was then. */
interface Taken {
  readonly result: Result;
  readonly version: string;
  readonly score: number | null;
}

/**
 * Results that another pipeline writes while a watch lives, a file NAME.json or a folder NAME for each model: by the name
 * of its folder (`merged-checkpoint-6000`, `checkpoint-6000`), or as a grid names such (`step6000-w10-sma`, `step6000`).
 */
export class GivenResults {
  readonly #folder: string;
  readonly #reading: ReadOptions;
  readonly #options: WatchOptions;
  readonly #said = new Set<string>();
  /** Names of everything that waits or has a score. */
  readonly #names: Set<string>;
  readonly #taken = new Map<string, Taken>();
  /** Why results could not be read at the look before, by path: they may be being written. */
  readonly #unread = new Map<string, string>();

  /** @param identity what was scored at earlier starts @param trials their scores */
  constructor(folder: string, options: WatchOptions, { scored = [] }: Pick<StudyIdentity, 'scored'>, trials: readonly TrialLine[]) {
    this.#folder = folder;
    this.#options = options;
    this.#reading = readOptions(evaluationOf(options));
    const folders = trials.flatMap(({ params, weights }) => [params?.output, basename(weights.at(-1)!.path)]);
    this.#names = new Set([
      ...scored.flatMap(({ is }) => is.map(({ name }) => name)),
      ...folders.filter((name) => typeof name === 'string'),
    ]);
  }

  /**
   * What came for models that wait. A result that cannot be read is told of at the second look that meets it.
   * @param isSettled whether nothing is due: then what belongs to no model is told of
   * @throws MergeError E_METRIC where metrics do not say which number is the score; `signal.reason` when aborted
   */
  async read(
    waiting: readonly Waiting[],
    { isSettled, signal }: { readonly isSettled: boolean; readonly signal: AbortSignal },
  ): Promise<{ readonly results: readonly Given[]; readonly warnings: readonly Warning[] }> {
    const warnings: Warning[] = [];
    const warn = (message: string): void => {
      if (this.#said.has(message)) return;
      this.#said.add(message);
      warnings.push({ code: 'W_SCORES', message: `${this.#folder}: ${message}` });
    };
    const there = await this.#list(warn);
    const results: Given[] = [];
    for (const one of waiting) {
      const outcome = await this.#outcome(one, there, signal, warn);
      if (outcome !== null) results.push({ waiting: one, outcome });
    }
    await this.#tellChanges(signal, warn);
    if (isSettled) this.#tellOthers([...there.keys()], warn);
    return { results, warnings };
  }

  async #list(warn: (message: string) => void): Promise<ReadonlyMap<string, readonly Result[]>> {
    try {
      return await resultsIn(this.#folder);
    } catch (error) {
      if (!(error instanceof MergeError) || error.exitCode === 2) throw error;
      warn(error.code === 'E_NOT_FOUND' ? 'there is no such folder yet; results are waited for' : error.message);
      return new Map();
    }
  }

  async #outcome(
    waiting: Waiting,
    there: ReadonlyMap<string, readonly Result[]>,
    signal: AbortSignal,
    warn: (message: string) => void,
  ): Promise<Outcome | null> {
    const names = new Set([nameOf(waiting), growthOf(this.#options, waiting).scored[0]!.is[0]!.name]);
    for (const name of names) this.#names.add(name);
    const own = [...names].flatMap((name) => there.get(name) ?? []);
    if (own.length === 0) return null;
    try {
      const versions = await Promise.all(own.map(versionOf));
      const [said] = await readResults([own], this.#reading, signal);
      if (said === null || said === undefined) return null;
      const score = said.score?.score ?? null;
      for (const [i, result] of own.entries()) this.#taken.set(result.path, { result, version: versions[i]!, score });
      const took = { seconds: 0, attempts: 1 };
      if (said.score !== null) return { status: 'complete', score: said.score, ...took };
      return { status: 'failed', reason: `${said.shown}: ${said.reason}`, lastWords: null, tail: [], cost: null, ...took };
    } catch (error) {
      if (!(error instanceof MergeError) || error.code !== 'E_SCORES') throw error;
      const { message } = error;
      const key = own.map(({ path }) => path).join(' ');
      if (this.#unread.get(key) === message) warn(message.replaceAll(`${this.#folder}/`, ''));
      this.#unread.set(key, message);
      return null;
    }
  }

  /** Of a model that has its score another one is told of, and is not taken. */
  async #tellChanges(signal: AbortSignal, warn: (message: string) => void): Promise<void> {
    for (const [path, taken] of this.#taken) {
      const version = await versionOf(taken.result);
      if (version === taken.version || version === '') continue;
      this.#taken.set(path, { ...taken, version });
      const [said] = await readResults([[taken.result]], this.#reading, signal).catch((error: unknown) => {
        if (error instanceof MergeError && error.code === 'E_SCORES') return [null];
        throw error;
      });
      const score = said?.score?.score ?? null;
      if (said == null || score === taken.score) continue;
      warn(
        `${said.shown} says ${score ?? 'that there is no score'} now, and ${taken.score ?? 'that there is none'} was taken, which stays`,
      );
    }
  }

  #tellOthers(there: readonly string[], warn: (message: string) => void): void {
    const others = there.filter((name) => !this.#names.has(name) && !this.#said.has(`other ${name}`));
    if (others.length === 0) return;
    for (const name of others) this.#said.add(`other ${name}`);
    const shown = others.length > SHOWN ? `${others.slice(0, SHOWN).join(', ')} and ${others.length - SHOWN} others` : others.join(', ');
    warn(`${shown} ${others.length === 1 ? 'is' : 'are'} of no merge and no checkpoint that this watch has met`);
  }
}

/** What a result looks like from outside; empty where it is gone. */
async function versionOf({ path }: Result): Promise<string> {
  return storeOf(path)
    .stat(path)
    .then(
      ({ version }) => version,
      () => '',
    );
}
