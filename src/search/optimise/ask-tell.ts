import type { Readable, Writable } from 'node:stream';
import { MergeError } from '../../base/errors.ts';
import { readLines } from '../../base/process/stream-lines.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { paramProblems } from '../space/param-problems.ts';
import type { Params, Space, SpaceParameter } from '../space/types.ts';
import type { Trial, TrialKind, TrialWeight } from '../study/types.ts';
import { type Message, parseMessage, protocolError, type Told } from './ask-tell-message.ts';

/** A trial as a driver sees it. */
export interface Asked {
  readonly trial: number;
  readonly kind: TrialKind;
  /** `open` until the driver tells it; where the search has an evaluator, never. */
  readonly status: 'open' | Trial['status'];
  readonly params: Params | null;
  readonly weights: readonly TrialWeight[];
  /**
   * Absolute path of the merge, which is there until the trial is told; null where the search has an
   * evaluator.
   */
  readonly model: string | null;
  readonly score: number | null;
  readonly stderr: number | null;
  /** Why it failed or was skipped. */
  readonly reason: string | null;
}

/** What a session stands on: the search itself. */
export interface Driver {
  /**
   * Makes trials, in one read of the inputs.
   * @param params what the driver proposes, one for each of `count`, inside the space; null for proposals of
   *   the search's own sampler
   * @returns fewer than `count` where the sampler has no more
   * @throws MergeError E_PROTOCOL or E_PARAMS for what the driver can mend, after which the session goes on;
   *   any other error ends it
   */
  ask(count: number, params: readonly Params[] | null, signal: AbortSignal): Promise<readonly Asked[]>;
  /** @param trial an open one. @returns the number of the best trial so far */
  tell(trial: number, told: Told): Promise<{ readonly best: number | null }>;
  /** The best trial so far; null where none has a score. */
  best(): Asked | null;
}

/** The first line out, by which a driver knows what to propose and which way is better. */
export interface Opening {
  readonly space: { readonly name: Space['name']; readonly parameters: readonly SpaceParameter[] };
  readonly goal: Goal;
  /** Trials with an outcome: baselines that were scored already, and all of a search that is resumed. */
  readonly trials: readonly Asked[];
}

/**
 * Why a session ended: the driver said so, its messages came to an end, or nobody reads the answers any more.
 */
export type SessionEnd = 'stop' | 'end of input' | 'nobody reads';

export interface SessionOptions {
  readonly input: Readable;
  readonly output: Writable;
  readonly space: Pick<Space, 'name' | 'parameters' | 'encode'>;
  readonly goal: Goal;
  readonly driver: Driver;
  /** See {@link Opening}. */
  readonly trials?: readonly Asked[];
}

/** Errors that a driver can mend by another message. */
const MENDABLE: readonly string[] = ['E_PROTOCOL', 'E_PARAMS'];

/**
 * The protocol of `merge search --ask-tell`: one JSON object a line on both sides, every message answered in
 * the order in which they came, nothing else on the output. See docs/search.md for its messages.
 */
export class AskTellSession {
  readonly #options: SessionOptions;
  readonly #open = new Set<number>();
  /** Trials with an outcome, and who gave it. */
  readonly #done = new Map<number, 'told' | 'scored'>();
  #gone = false;

  constructor(options: SessionOptions) {
    this.#options = options;
    for (const { trial } of options.trials ?? []) this.#done.set(trial, 'scored');
    // Without a listener an unreadable pipe ends the process, and with it what the search has still to write.
    options.output.on('error', () => {
      this.#gone = true;
    });
  }

  /** Trials that were asked for and never told: their merges can go. */
  get open(): readonly number[] {
    return [...this.#open];
  }

  /**
   * Answers messages until there are no more.
   * @throws signal.reason on an abort; MergeError of the search that no message can mend
   */
  async run(signal: AbortSignal): Promise<SessionEnd> {
    const { input, space, goal, trials = [] } = this.#options;
    const opening: Opening = { space: { name: space.name, parameters: space.parameters }, goal, trials };
    try {
      await this.#write({ search: opening }, signal);
      for await (const line of readLines(input, signal)) {
        if (this.#gone) break;
        if (line.text === '') continue;
        try {
          if (line.problem !== null) throw protocolError(line.problem);
          const message = parseMessage(line.text!);
          if (message.verb === 'stop') return 'stop';
          await this.#answer(message, signal);
        } catch (error) {
          if (!(error instanceof MergeError) || !MENDABLE.includes(error.code)) throw error;
          const { code, message, help } = error;
          await this.#write({ error: { code, message, help, line: line.number } }, signal);
        }
      }
      return this.#gone ? 'nobody reads' : 'end of input';
    } finally {
      // An open pipe would keep the process alive.
      input.destroy();
    }
  }

  /** The last line: what was found. */
  async conclude(conclusion: object, signal: AbortSignal): Promise<void> {
    await this.#write({ conclusion }, signal);
  }

  async #answer(message: Exclude<Message, { verb: 'stop' }>, signal: AbortSignal): Promise<void> {
    const { driver } = this.#options;
    if (message.verb === 'best') return this.#write({ best: driver.best() }, signal);
    if (message.verb === 'tell') {
      this.#assertOpen(message.trial);
      const { best } = await driver.tell(message.trial, message.told);
      this.#open.delete(message.trial);
      this.#done.set(message.trial, 'told');
      return this.#write({ told: message.trial, best }, signal);
    }
    this.#assertInside(message.params ?? []);
    const asked = await driver.ask(message.count, message.params, signal);
    for (const trial of asked) {
      if (trial.status === 'open') this.#open.add(trial.trial);
      else this.#done.set(trial.trial, 'scored');
    }
    for (const trial of asked) await this.#write(trial, signal);
    if (asked.length < message.count) await this.#write({ exhausted: true }, signal);
  }

  #assertOpen(trial: number): void {
    if (this.#open.has(trial)) return;
    const done = this.#done.get(trial);
    if (done === 'told') throw protocolError(`trial ${trial} was told before`, 'The first answer stands.');
    if (done === 'scored') throw protocolError(`trial ${trial} was scored by the search: there is nothing to tell`);
    const open = this.open.length === 0 ? 'none is open' : `open: ${this.open.join(', ')}`;
    throw protocolError(`there is no trial ${trial} in this session (${open})`, 'Tell the number that came with the answer to ask.');
  }

  #assertInside(list: readonly Params[]): void {
    const { space } = this.#options;
    const problems = list.flatMap((params, i) => {
      const found = paramProblems(params, space.parameters);
      if (found.length === 0 && space.encode(params) === null) found.push('they lie outside the space');
      return found.map((problem) => (list.length === 1 ? `params: ${problem}` : `params ${i + 1}: ${problem}`));
    });
    if (problems.length > 0) throw protocolError(problems.join('; '), 'The first line says what each parameter takes.');
  }

  /**
   * Waits until the line is on its way, so that a driver that reads slowly slows the search and not its
   * memory.
   */
  async #write(value: object, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#gone) return;
    await new Promise<void>((resolve, reject) => {
      const abort = () => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      this.#options.output.write(`${JSON.stringify(value)}\n`, (error) => {
        signal.removeEventListener('abort', abort);
        this.#gone ||= error != null;
        resolve();
      });
    });
  }
}
