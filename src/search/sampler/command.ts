import { MergeError } from '../../base/errors.ts';
import { keysTwice } from '../../base/json/keys-twice.ts';
import { isJsonObject, type JsonObject, parseJson } from '../../base/json/parse.ts';
import { Dialogue } from '../../base/process/dialogue.ts';
import { GRACE_MS } from '../../base/process/process-group.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { printable } from '../../render/format.ts';
import type { Point } from '../gaussian-process/cube.ts';
import { paramProblems } from '../space/param-problems.ts';
import type { Params, Space } from '../space/types.ts';
import type { History, Observed, Proposal, Sampler } from './types.ts';

export interface CommandSamplerOptions {
  /** Said to the command, and decides the sign of the scores it is told: they are the user's own. */
  readonly goal: Goal;
  readonly seed: number;
  /** Seconds that one answer may take. */
  readonly timeout?: number;
}

/** A model over many trials takes its time; a command that waits for something else never answers. */
const TIMEOUT_SECONDS = 600;

/** Proposals in a row that were all tried before it counts as having no more. */
const REPEATS = 64;

/**
 * A sampler of the user's: a command that speaks NDJSON on stdin and stdout (stderr is the user's to see). It
 * is sent `{"space":{"parameters":[…]},"goal":…,"seed":…}` once;
 * `{"tell":ID,"params":{…},"score":…,"stderr":…}`, or `"status":"failed"` instead of a score, for each
 * finished trial, all earlier ones on a resume; and for each proposal wanted `{"ask":1}`, which it answers
 * with one line, `{"params":{…}}`, or `{"stop":true}` where it has no more. A proposal tried before is turned
 * down by `{"taken":true,"params":{…}}` and the next `{"ask":1}`. It is started at the first ask and is a
 * process group of its own.
 *
 * @throws MergeError E_SAMPLER from propose() where it breaks this: another line, unknown or missing
 *   parameters, values outside their bounds, no answer in time, its end
 */
export function commandSampler(command: string, space: Space, options: CommandSamplerOptions): Sampler {
  let conversation: Conversation | undefined;
  let stopped = false;
  return {
    async propose(history, count, signal) {
      const found: Proposal[] = [];
      if (stopped) return found;
      conversation ??= new Conversation(command, space, options);
      try {
        conversation.tell(history.observed);
        for (let repeats = 0; found.length < count && repeats < REPEATS && !stopped; ) {
          const proposal = await conversation.ask(signal);
          if (proposal === null) stopped = true;
          else if (await isNew(proposal.point, found, history)) found.push({ point: proposal.point, by: 'command' });
          else {
            repeats++;
            conversation.send({ taken: true, params: proposal.params });
          }
        }
      } catch (error) {
        await conversation.end(0);
        throw error;
      }
      return found;
    },
    ahead: () => 0,
    close: async () => conversation?.end(GRACE_MS),
  };
}

async function isNew(point: Point, found: readonly Proposal[], history: History): Promise<boolean> {
  return !found.some((other) => String(other.point) === String(point)) && !(await history.isTaken(point));
}

class Conversation {
  readonly #command: string;
  readonly #space: Space;
  readonly #options: CommandSamplerOptions;
  readonly #dialogue: Dialogue;
  readonly #told = new Set<number>();
  /** Params as the command wrote them, by point: it gets them back digit for digit. */
  readonly #params = new Map<string, Params>();

  constructor(command: string, space: Space, options: CommandSamplerOptions) {
    this.#command = command;
    this.#space = space;
    this.#options = options;
    this.#dialogue = new Dialogue(command);
    this.send({ space: { parameters: space.parameters }, goal: options.goal, seed: options.seed });
  }

  send(message: object): void {
    this.#dialogue.send(message);
  }

  tell(observed: readonly Observed[]): void {
    for (const { id, point, value, variance } of observed) {
      if (this.#told.has(id)) continue;
      this.#told.add(id);
      const params = this.#params.get(String(point)) ?? this.#space.decode(point);
      const score = value === null ? { status: 'failed' } : { score: directionOf(this.#options.goal).sign * value };
      this.send({ tell: id, params, ...score, ...(variance === null ? {} : { stderr: Math.sqrt(variance) }) });
    }
  }

  /** @returns null where the command has no more */
  async ask(signal: AbortSignal | undefined): Promise<{ params: Params; point: Point } | null> {
    this.send({ ask: 1 });
    const read = readProposal(await this.#answer(signal), this.#space);
    if ('stop' in read) return null;
    if ('problems' in read) throw this.#broken(read.problems, read.line);
    this.#params.set(String(read.point), read.params);
    return read;
  }

  /** Its process group has this grace to end by itself. */
  end(graceMs: number): Promise<void> {
    return this.#dialogue.end(graceMs);
  }

  async #answer(signal: AbortSignal | undefined): Promise<string> {
    const { timeout = TIMEOUT_SECONDS } = this.#options;
    signal?.throwIfAborted();
    // A timer and not AbortSignal.any with a time-out, which Node 20 may collect before it fires.
    let timer: NodeJS.Timeout | undefined;
    let abort = () => {};
    const stop = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#broken([`it gave no answer within ${timeout} s`])), timeout * 1000);
      abort = () => reject(signal?.reason);
    });
    signal?.addEventListener('abort', abort, { once: true });
    try {
      const next = await Promise.race([this.#dialogue.next(), stop]);
      if (next.done) throw this.#broken([`it ended ${await this.#ending()} before it answered`]);
      if (next.value.problem !== null) throw this.#broken([next.value.problem]);
      return next.value.text;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  async #ending(): Promise<string> {
    const ending = await this.#dialogue.ending(GRACE_MS);
    if (ending === null) return 'its output';
    return typeof ending === 'number' ? `with exit code ${ending}` : `by ${ending}`;
  }

  #broken(problems: readonly string[], line?: string): MergeError {
    const got = line === undefined ? '' : `; it wrote: ${line}`;
    return new MergeError('E_SAMPLER', `the sampler command broke the protocol: ${problems.join('; ')}${got}`, {
      details: { command: this.#command, ...(line === undefined ? {} : { line }) },
    });
  }
}

/** What a line of a sampler command says, or all that is wrong with it. */
export type ReadProposal =
  | { readonly stop: true }
  | { readonly params: Params; readonly point: Point }
  | { readonly problems: readonly string[]; readonly line: string };

/** Characters of a line that a message shows. */
const SHOWN = 200;

/**
 * Reads the answer to `{"ask":1}`: `{"params":{…}}` with a value for each parameter of the space, or
 * `{"stop":true}`.
 */
export function readProposal(line: string, space: Space): ReadProposal {
  const bad = (problems: readonly string[]) => ({ problems, line: shown(line) });
  const message = parsed(line);
  if (message === undefined) return bad([`an answer is one line of JSON, ${form(space)} or {"stop":true}`]);
  const [twice] = keysTwice(line);
  if (twice !== undefined) return bad([`${JSON.stringify(twice)} is there twice`]);
  if (message.stop === true) return { stop: true };
  if (!isJsonObject(message.params)) return bad([`an answer has "params", as in ${form(space)}, or is {"stop":true}`]);
  const problems = paramProblems(message.params, space.parameters);
  if (problems.length > 0) return bad(problems);
  const params = message.params as Params;
  const point = space.encode(params);
  return point === null ? bad(['these parameters lie outside the space']) : { params, point };
}

function parsed(line: string): JsonObject | undefined {
  try {
    const value = parseJson(line);
    return isJsonObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** An example of the answer, with the names of this space. */
function form({ parameters }: Space): string {
  const values = parameters.slice(0, 3).map(({ name, kind, low, values }) => [name, kind === 'choice' ? values?.[0] : low]);
  return JSON.stringify({ params: Object.fromEntries(values) });
}

function shown(text: string): string {
  return printable(text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
}
