import type { MergeError } from '../errors.ts';
import { type Board, failureOf, failureRecord, type RankFailure, type Sign } from './board.ts';
import { type Colleague, isAtWork, Sightings } from './sightings.ts';

/**
 * Milliseconds from one sign of life to the next, and how many there are at least in the time after which a rank
 * is taken for dead.
 */
const BEAT_MS = 1000;
const BEATS_IN_TIMEOUT = 5;
const SHORTEST_MS = 20;
/** How often a wait looks, at first and at last. */
const FIRST_POLL_MS = 20;
const LAST_POLL_MS = 250;
/** How soon after its first sign a rank gives the second, which says that the first was no old one. */
const SECOND_BEAT_MS = 100;
/** How often a rank looks that has nothing else to do: so long for each of the others, at least {@link LAST_POLL_MS}. */
const LOOK_EACH_MS = 5;
/** How often a rank at work looks at the others' signs: on a large board that is many files. */
const LOOK_MS = 5000;
/**
 * After how long without a sign of life a rank is helped, milliseconds: whoever has nothing else to do makes
 * its piece as well. It may be alive, and loses nothing by that.
 */
const HELPED_AFTER_MS = 5000;

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
  readonly #sign: () => Omit<Sign, 'state' | 'doing'>;
  /** Milliseconds from one sign of life to the next. */
  readonly #every: number;
  readonly #lookEvery: number;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | null = null;
  #lastLook = Number.NEGATIVE_INFINITY;
  /** Who has a turn: it never changes hands. */
  readonly #holders = new Map<string, string>();
  #lastBeat = performance.now();
  #state: Sign['state'] = 'here';
  #failure: MergeError | null = null;
  #doing: { readonly task: string; readonly since: number } | null = null;
  /** Of whom a failure was on the board before this process came. */
  readonly #earlier = new Set<string>();

  /**
   * @param timeout milliseconds after which a silent rank is taken for dead
   * @param lookEvery milliseconds between two looks at the others while this process works
   */
  constructor(board: Board, timeout: number, sign: () => Omit<Sign, 'state' | 'doing'>, lookEvery = LOOK_MS) {
    this.#every = Math.max(SHORTEST_MS, Math.min(BEAT_MS, timeout / BEATS_IN_TIMEOUT));
    this.#lookEvery = Math.min(lookEvery, timeout / BEATS_IN_TIMEOUT);
    this.board = board;
    this.timeout = timeout;
    this.#sign = sign;
    this.sightings = new Sightings(board);
  }

  /** Says that this process is here, and goes on saying so until `end`. @throws MergeError E_IO and the like */
  async begin(): Promise<void> {
    await this.#beat();
    await this.sightings.look();
    const { launch } = this.#sign();
    for (const [id, { sign }] of this.sightings.all()) {
      // The same start, and so a failure of this very work; else somebody mended it and began again.
      if (sign?.state === 'failed' && (launch === null || sign.launch !== launch)) this.#earlier.add(id);
    }
    setTimeout(() => void this.#soon(), SECOND_BEAT_MS).unref();
    this.#timer = setInterval(() => void this.#soon(), this.#every).unref();
  }

  /** Gives a sign of life; on a slow file system one may take longer than the time between two. Never throws. */
  #soon(): Promise<void> {
    this.#beating ??= this.#tick()
      .catch(() => {})
      .finally(() => {
        this.#beating = null;
      });
    return this.#beating;
  }

  /** Says at once what is new; a sign that is under way may be of before. Never throws. */
  async say(): Promise<void> {
    await this.#beating;
    await this.#soon();
  }

  /** For who waits: says that this process is here, and looks at the others as often as there are few of them. */
  async wait(): Promise<void> {
    const each = LOOK_EACH_MS * this.sightings.all().size;
    const pause = Math.min(Math.max(LAST_POLL_MS, each), this.timeout / BEATS_IN_TIMEOUT);
    if (performance.now() - this.#lastBeat >= pause) await this.#soon();
    await this.lookAgain(pause);
  }

  async #tick(): Promise<void> {
    if (this.#state !== 'here') return;
    await this.#beat();
    await this.lookAgain(this.#lookEvery);
  }

  async #beat(): Promise<void> {
    const now = performance.now();
    const doing = this.#doing === null ? null : { task: this.#doing.task, seconds: (now - this.#doing.since) / 1000 };
    await this.board.beat({ ...this.#sign(), state: this.#state, doing });
    this.#lastBeat = now;
  }

  /** {@link look}, where that was not done within the last `ms` milliseconds. */
  async lookAgain(ms: number): Promise<void> {
    if (performance.now() - this.#lastLook >= ms) await this.look();
  }

  /** Looks at the others' signs, and at what one of them failed with. */
  async look(): Promise<void> {
    this.#lastLook = performance.now();
    await this.sightings.look();
    for (const [id, { sign }] of this.sightings.all()) if (sign?.state === 'failed') await this.#noteFailure(id);
  }

  async #noteFailure(id: string): Promise<void> {
    if (this.#earlier.has(id) || this.#failure !== null) return;
    const text = await this.board.get(failureRecord(id)).catch(() => null);
    if (text !== null) this.#failure ??= failureOf(text, this.board);
  }

  /** Before a turn is taken over from one that failed: what it failed with ends this process as well. */
  async #heed(id: string): Promise<void> {
    await this.#noteFailure(id);
    if (this.#failure !== null) throw this.#failure;
  }

  /**
   * Whether one of the others is at work: seen to be, in the time of two signs of life, and not by a sign alone
   * that one who is dead left.
   * @throws `signal.reason` on an abort
   */
  async meets(id: string, signal: AbortSignal | undefined): Promise<boolean> {
    const until = performance.now() + 2.5 * this.#every;
    const backoff = new Backoff();
    for (;;) {
      await this.look();
      const colleague = this.sightings.of(id);
      if (!isAtWork(colleague, this.timeout)) return false;
      if (colleague.seenAlive || performance.now() > until) return colleague.seenAlive;
      await backoff.pause(signal);
    }
  }

  /**
   * Whether the word of one of those at the board is good: of this start of the command, or one that was seen
   * alive. What an earlier start left may have changed since.
   */
  believes(id: string): boolean {
    if (id === this.board.id) return true;
    const { launch } = this.#sign();
    const { sign, seenAlive } = this.sightings.of(id);
    return seenAlive || (launch !== null && sign?.launch === launch);
  }

  /** The ids of those that are at work, this process not among them. */
  atWork(): string[] {
    return [...this.sightings.all()].filter(([, colleague]) => isAtWork(colleague, this.timeout)).map(([id]) => id);
  }

  /** Says with the next sign of life what this process is at. */
  isAt(task: string | null): void {
    this.#doing = task === null ? null : { task, since: performance.now() };
  }

  /**
   * When tasks were begun by those at work, the last of them where there are several, on this process's own clock:
   * each of them says how long it has been at its task.
   */
  begun(): ReadonlyMap<string, number> {
    const now = performance.now();
    const begun = new Map<string, number>();
    for (const colleague of this.sightings.all().values()) {
      const { sign, silentMs } = colleague;
      if (!sign?.doing || !isAtWork(colleague, this.timeout)) continue;
      const { task, seconds } = sign.doing;
      begun.set(task, Math.max(begun.get(task) ?? Number.NEGATIVE_INFINITY, now - silentMs - 1000 * seconds));
    }
    return begun;
  }

  /** Whoever has a turn; null is nobody that can be told. */
  #colleague(turn: string, holder: string | null): Colleague {
    return this.sightings.of(holder ?? `of ${turn}`);
  }

  /**
   * @throws what another rank failed with; Dropped where this process was silent for so long that others take
   *   it for dead
   */
  check(): void {
    if (this.#failure !== null) throw this.#failure;
    if (performance.now() - this.#lastBeat > this.timeout) throw new Dropped('this process was silent for too long');
  }

  /** After having been dropped: says that this process is here again. @throws MergeError E_IO and the like */
  async again(): Promise<void> {
    await this.#beat();
  }

  /**
   * Makes this process the one that does `name`, unless somebody at work has it.
   * @param also whether one that is at work may be joined, by how many there are before, and whether the last
   *   of them has been silent for long
   */
  async take(name: string, also: (before: number, isSilent: boolean) => boolean = () => false): Promise<boolean> {
    let atWork = 0;
    for (let generation = 0; ; generation++) {
      const turn = `${name}.${generation}`;
      let holder = this.#holders.get(turn) ?? null;
      if (holder === null) {
        if (await this.board.claim(turn)) {
          this.#holders.set(turn, this.board.id);
          return true;
        }
        holder = await this.board.holder(turn);
        if (holder !== null) this.#holders.set(turn, holder);
      }
      if (holder === this.board.id) return true;
      const colleague = this.#colleague(turn, holder);
      if (colleague.sign?.state === 'failed' && holder !== null) await this.#heed(holder);
      if (!isAtWork(colleague, this.timeout)) continue;
      const isSilent = colleague.silentMs > Math.min(HELPED_AFTER_MS, this.timeout / 2);
      if (!also(atWork++, isSilent)) return false;
    }
  }

  /** Ends the signs of life with what became of this process. Never throws. */
  async end(how: 'left' | { readonly failed: MergeError }): Promise<void> {
    if (this.#state !== 'here') return;
    clearInterval(this.#timer);
    await (this.#beating ?? Promise.resolve());
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
