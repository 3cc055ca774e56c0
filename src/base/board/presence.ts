import type { MergeError } from '../errors.ts';
import { type Board, failureOf, failureRecord, type RankFailure, type Sign } from './board.ts';
import { type Colleague, isAtWork, Sightings } from './sightings.ts';

/** Signs of life a second, at most, and how many there are in the time after which a rank is taken for dead. */
const BEAT_MS = 1000;
const BEATS_IN_TIMEOUT = 5;
const SHORTEST_MS = 20;
/** How often a wait looks, at first and at last. */
const FIRST_POLL_MS = 20;
const LAST_POLL_MS = 1000;

/**
 * Thrown where this process has to give up a piece of work: it was silent for so long that others have taken
 * it over, or another one has finished it meanwhile. Nothing is lost.
 */
export class Dropped extends Error {}

/**
 * One process's place at a board: gives signs of life from a timer, sees those of the others, and knows
 * whether the others still count on it.
 */
export class Presence {
  readonly board: Board;
  readonly timeout: number;
  readonly sightings: Sightings;
  readonly #sign: () => Omit<Sign, 'state'>;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> = Promise.resolve();
  #lastBeat = performance.now();
  #state: Sign['state'] = 'here';
  #failure: MergeError | null = null;
  /** Of whom a failure was on the board before this process came. */
  readonly #earlier = new Set<string>();

  /** @param timeout milliseconds after which a silent rank is taken for dead */
  constructor(board: Board, timeout: number, sign: () => Omit<Sign, 'state'>) {
    this.board = board;
    this.timeout = timeout;
    this.#sign = sign;
    this.sightings = new Sightings(board);
  }

  /** Says that this process is here, and goes on saying so until `end`. @throws the errno of the file system */
  async begin(): Promise<void> {
    await this.#beat();
    await this.sightings.look();
    const { launch } = this.#sign();
    for (const [id, { sign }] of this.sightings.all()) {
      // The same start, and so a failure of this very work; else somebody mended it and began again.
      if (sign?.state === 'failed' && (launch === null || sign.launch !== launch)) this.#earlier.add(id);
    }
    const every = Math.max(SHORTEST_MS, Math.min(BEAT_MS, this.timeout / BEATS_IN_TIMEOUT));
    this.#timer = setInterval(() => {
      this.#beating = this.#beating.then(() => this.#tick()).catch(() => {});
    }, every).unref();
  }

  async #tick(): Promise<void> {
    if (this.#state !== 'here') return;
    await this.#beat();
    await this.look();
  }

  async #beat(): Promise<void> {
    const now = performance.now();
    await this.board.beat({ ...this.#sign(), state: this.#state });
    this.#lastBeat = now;
  }

  /** Looks at the others' signs, and at what one of them failed with. */
  async look(): Promise<void> {
    await this.sightings.look();
    for (const [id, { sign }] of this.sightings.all()) {
      if (sign?.state !== 'failed' || this.#earlier.has(id) || this.#failure !== null) continue;
      const text = await this.board.get(failureRecord(id)).catch(() => null);
      if (text !== null) this.#failure = failureOf(JSON.parse(text) as RankFailure);
    }
  }

  /** The ids of those that are at work, this process not among them. */
  atWork(): string[] {
    return [...this.sightings.all()].filter(([, colleague]) => isAtWork(colleague, this.timeout)).map(([id]) => id);
  }

  /** Whether whoever has an id may still be at work; null is nobody that can be told. */
  isGone(holder: string | null, name: string): boolean {
    if (holder === this.board.id) return false;
    const colleague: Colleague = this.sightings.of(holder ?? `of ${name}`);
    return !isAtWork(colleague, this.timeout);
  }

  /**
   * @throws what another rank failed with; Dropped where this process was silent for so long that others take
   *   it for dead
   */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
    if (performance.now() - this.#lastBeat > this.timeout) throw new Dropped('this process was silent for too long');
  }

  /** After having been dropped: says that this process is here again. @throws the errno of the file system */
  async again(): Promise<void> {
    await this.#beat();
  }

  /**
   * Makes this process the one that does `name`, unless somebody at work has it.
   * @param also whether one that is at work may be joined, by how many there are before
   */
  async take(name: string, also: (before: number) => boolean = () => false): Promise<boolean> {
    let atWork = 0;
    for (let generation = 0; ; generation++) {
      const turn = `${name}.${generation}`;
      if (await this.board.claim(turn)) return true;
      const holder = await this.board.holder(turn);
      if (holder === this.board.id) return true;
      if (!this.isGone(holder, turn) && !also(atWork++)) return false;
    }
  }

  /** Ends the signs of life with what became of this process. Never throws. */
  async end(how: 'left' | { readonly failed: MergeError }): Promise<void> {
    if (this.#state !== 'here') return;
    clearInterval(this.#timer);
    await this.#beating;
    if (how !== 'left') {
      const { code, message, details, help } = how.failed;
      const failure: RankFailure = { rank: this.#sign().rank, code, message, details, help };
      await this.board.put(failureRecord(this.board.id), JSON.stringify(failure)).catch(() => {});
    }
    this.#state = how === 'left' ? 'left' : 'failed';
    await this.#beat().catch(() => {});
  }
}

/** Pauses that grow from one look to the next. */
export class Backoff {
  #next = FIRST_POLL_MS;

  reset(): void {
    this.#next = FIRST_POLL_MS;
  }

  /** @throws `signal.reason` on an abort */
  async pause(signal: AbortSignal | undefined): Promise<void> {
    const pause = this.#next;
    this.#next = Math.min(LAST_POLL_MS, this.#next * 1.5);
    await new Promise<void>((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', end);
        resolve();
      };
      const timer = setTimeout(end, pause);
      signal?.addEventListener('abort', end, { once: true });
    });
    signal?.throwIfAborted();
  }
}
