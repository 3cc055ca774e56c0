import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { keysTwice } from '../../base/json/keys-twice.ts';
import { isJsonObject, parseJson } from '../../base/json/parse.ts';
import { MOST_SCORE } from '../../checkpoints/results/report.ts';
import type { Params } from '../space/types.ts';

/** What a driver says of a trial that it scored, or could not score. */
export type Told =
  | { readonly score: number; readonly stderr?: number; readonly scores?: readonly number[] }
  | { readonly status: 'failed' | 'skipped'; readonly reason?: string };

/** A message of a driver. */
export type Message =
  /**
   * `params`: what the driver proposes, one for each of `count`, not looked at yet; null where the sampler of
   * the search is to propose.
   */
  | { readonly verb: 'ask'; readonly count: number; readonly params: readonly Params[] | null }
  | { readonly verb: 'tell'; readonly trial: number; readonly told: Told }
  | { readonly verb: 'best' }
  | { readonly verb: 'stop' };

const KEYS = {
  ask: ['ask', 'params'],
  tell: ['tell', 'score', 'stderr', 'scores', 'status', 'reason'],
  best: ['best'],
  stop: ['stop'],
} as const satisfies Record<Message['verb'], readonly string[]>;
const VERBS = Object.keys(KEYS) as Message['verb'][];

/** Merges of one ask lie on disk together: more is a mistake. */
const MOST_ASKED = 256;
/** Of the scores of items to their mean, relative: they were summed in another order. */
const MEAN_TOLERANCE = 1e-6;
const MOST_TEXT = MOST_SCORE.toExponential().replace('e+', 'e');
const SHOWN = 80;

/** A message of the protocol that cannot be heeded; it is answered, and the session goes on. */
export function protocolError(message: string, help?: string): MergeError {
  return new MergeError('E_PROTOCOL', message, help === undefined ? {} : { help });
}

/**
 * Reads one line of a driver.
 * @throws MergeError E_PROTOCOL naming everything that is wrong with it
 */
export function parseMessage(line: string): Message {
  const object = parseObject(line);
  const keys = Object.keys(object);
  const verbs = VERBS.filter((verb) => Object.hasOwn(object, verb));
  const verb = verbs[0];
  if (verb === undefined || verbs.length > 1) {
    const found =
      verbs.length > 1
        ? `${verbs.join(' and ')} in one message`
        : keys.length > 0
          ? `only ${keys.map(shown).join(', ')}`
          : 'an empty object';
    throw protocolError(`a message has one of ${VERBS.join(', ')}, and this has ${found}`);
  }
  const known: readonly string[] = KEYS[verb];
  const problems = keys.filter((key) => !known.includes(key)).map((key) => unknownKey(key, verb, known));
  const message = READERS[verb](object, problems);
  if (problems.length > 0) throw protocolError(problems.join('; '));
  return message;
}

type Fields = Readonly<Record<string, unknown>>;
/** Adds what is wrong to `problems`; what it returns counts only where nothing is. */
type Reader = (object: Fields, problems: string[]) => Message;

const READERS: Readonly<Record<Message['verb'], Reader>> = {
  ask({ ask, params }, problems) {
    const count = ask as number;
    if (!Number.isSafeInteger(ask) || count < 1 || count > MOST_ASKED)
      problems.push(`ask is how many trials, 1 to ${MOST_ASKED}, and not ${shown(ask)}`);
    if (params === undefined || params === null) return { verb: 'ask', count, params: null };
    const list: readonly unknown[] = Array.isArray(params) ? params : [params];
    if (list.length !== count) problems.push(`ask is ${shown(ask)} and there are params for ${list.length}`);
    problems.push(
      ...list.filter((item) => !isJsonObject(item)).map((item) => `params is an object of names and values, and not ${shown(item)}`),
    );
    return { verb: 'ask', count, params: list as readonly Params[] };
  },
  tell({ tell, score, stderr = null, scores = null, status, reason = null }, problems) {
    if (!Number.isSafeInteger(tell) || (tell as number) < 0) problems.push(`tell is the number of a trial, and not ${shown(tell)}`);
    const trial = tell as number;
    if ((score === undefined) === (status === undefined)) {
      problems.push(
        score === undefined ? 'a trial is told with a score, or with the status failed or skipped' : 'a trial with a score has no status',
      );
    } else if (status !== undefined) {
      if (status !== 'failed' && status !== 'skipped') problems.push(`status is failed or skipped, and not ${shown(status)}`);
      if (reason !== null && typeof reason !== 'string') problems.push(`reason is text, and not ${shown(reason)}`);
      for (const [key, value] of Object.entries({ stderr, scores })) if (value !== null) problems.push(`${key} is of a trial with a score`);
      return { verb: 'tell', trial, told: present({ status, reason }) };
    }
    if (score !== undefined && !finite(score)) problems.push(`score is a finite number, and not ${shown(score)}`);
    if (finite(score) && Math.abs(score) > MOST_SCORE) problems.push(`score is at most ${MOST_TEXT} in size, and not ${shown(score)}`);
    if (stderr !== null && !(finite(stderr) && stderr >= 0 && stderr <= MOST_SCORE))
      problems.push(`stderr is a number from 0 to ${MOST_TEXT}, or null, and not ${shown(stderr)}`);
    if (reason !== null) problems.push('reason is of a trial that failed or was skipped');
    if (scores !== null) problems.push(...scoresProblems(scores, score));
    return { verb: 'tell', trial, told: present({ score, stderr, scores }) };
  },
  best: ({ best }, problems) => {
    if (best !== 1 && best !== true) problems.push(`best is 1, and not ${shown(best)}`);
    return { verb: 'best' };
  },
  stop: ({ stop }, problems) => {
    if (stop !== 1 && stop !== true) problems.push(`stop is 1, and not ${shown(stop)}`);
    return { verb: 'stop' };
  },
};

/** Null is Python's word for what is left out. */
function present(fields: Fields): Told {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null)) as Told;
}

function parseObject(line: string): Fields {
  let value: unknown;
  try {
    value = parseJson(line);
  } catch {
    // Python's json writes them, and they are the usual reason.
    const help = /\b(NaN|Infinity)\b/.test(line)
      ? 'JSON has no NaN and no Infinity: tell a trial without a score as {"tell":7,"status":"failed"}.'
      : undefined;
    throw protocolError(`this is not JSON: ${shortened(line)}`, help);
  }
  if (!isJsonObject(value)) throw protocolError(`a message is a JSON object, and not ${shown(value)}`);
  const [twice] = keysTwice(line);
  if (twice !== undefined) throw protocolError(`${shown(twice)} is there twice: ${shortened(line)}`);
  return value;
}

function unknownKey(key: string, verb: string, known: readonly string[]): string {
  const near = didYouMean(key, known);
  return `${shown(key)} does not belong to ${verb}${near === null ? '' : `: did you mean ${near}?`}`;
}

function scoresProblems(scores: unknown, score: unknown): string[] {
  if (!Array.isArray(scores) || scores.length === 0 || !scores.every(finite)) return ['scores is a list of finite numbers, one an item'];
  if (!finite(score)) return [];
  const mean = scores.reduce((sum, item) => sum + item, 0) / scores.length;
  if (Math.abs(mean - score) <= MEAN_TOLERANCE * Math.max(1, Math.abs(score))) return [];
  return [`the mean of scores is ${mean}, and score is ${score}: leave scores out where the score is not the mean of its items`];
}

function finite(value: unknown): value is number {
  return Number.isFinite(value);
}

function shown(value: unknown): string {
  return value === undefined ? 'nothing' : shortened(typeof value === 'number' ? String(value) : JSON.stringify(value));
}

function shortened(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}
