import type { Board, Sign } from './board.ts';

/** Another process at a board, as this one sees it. */
export interface Colleague {
  /** The last that it said; null while nothing of it could be read. */
  readonly sign: Sign | null;
  /** How long what it says has not changed, milliseconds by this process's own clock since it was first looked for. */
  readonly silentMs: number;
  /** It was seen to change since this process began to look: it lived then. */
  readonly seenAlive: boolean;
}

interface Seen {
  readonly text: string | null;
  readonly sign: Sign | null;
  readonly since: number;
  readonly alive: boolean;
}

/**
 * How long the others at a board have been silent. Clocks of several machines are never compared: age is
 * counted here, by a clock that nobody sets, from when a sign was last seen to change.
 */
export class Sightings {
  readonly #board: Pick<Board, 'signs' | 'id'>;
  readonly #now: () => number;
  readonly #seen = new Map<string, Seen>();

  constructor(board: Pick<Board, 'signs' | 'id'>, now: () => number = () => performance.now()) {
    this.#board = board;
    this.#now = now;
  }

  /** Looks at all signs. */
  async look(): Promise<void> {
    for (const [id, { text, sign }] of await this.#board.signs()) this.#note(id, text, sign);
  }

  #note(id: string, text: string | null, sign: Sign | null): void {
    const before = this.#seen.get(id);
    if (before !== undefined && before.text === text) return;
    // A first sign may be an old one.
    const alive = before?.alive === true || (before !== undefined && before.text !== null);
    this.#seen.set(id, { text, sign: sign ?? before?.sign ?? null, since: this.#now(), alive });
  }

  /** One of the others; whoever was never heard of is silent from now on. */
  of(id: string): Colleague {
    if (!this.#seen.has(id)) this.#note(id, null, null);
    const { sign, since, alive } = this.#seen.get(id)!;
    return { sign, silentMs: this.#now() - since, seenAlive: alive };
  }

  /** All others that gave a sign, by id. */
  all(): ReadonlyMap<string, Colleague> {
    const heard = [...this.#seen].filter(([id, { text }]) => text !== null && id !== this.#board.id);
    return new Map(heard.map(([id]) => [id, this.of(id)]));
  }
}

/** Whether a colleague may be at work: it has not said that it left, and was not silent for `timeout` ms. */
export function isAtWork(colleague: Colleague | undefined, timeout: number): boolean {
  return colleague !== undefined && colleague.sign?.state !== 'left' && colleague.sign?.state !== 'failed' && colleague.silentMs <= timeout;
}
