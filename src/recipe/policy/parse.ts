import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { type Problem, refusal } from '../../base/problems.ts';
import { PARAMETERS, type ParameterName, parameterLabel } from '../schedule/parameters.ts';
import { policyProblems, routerProblem } from './check.ts';
import { SELECTOR_KEYS, TREATMENT_KEYS } from './keys.ts';
import type { Policy, RouterUse } from './types.ts';

const FORM = "A policy is SELECTOR:TREATMENT, as 'role=routers:use=newest' or 'name=model.layers.0.*,stored=F32:weights=0.2,0.8'.";
/** The treatment begins at the first colon behind which a key stands: names may hold colons. */
const HALVES = /^(.*?):(?=\s*[\w-]+\s*=)(.*)$/s;
const ENTRY = /^\s*([\w-]+)\s*=(.*)$/s;
type Key = keyof Policy;

/**
 * A policy in one text: `SELECTOR:TREATMENT`, both `key=value` with commas between, with the names of
 * recipes. Before the colon `dtype` is the one in which the tensors are stored. A value goes on over commas
 * to the next key: `weights=0.2,0.8`.
 *
 * @param where what holds the text, for messages
 * @throws MergeError E_OPTION with every problem in `details.conflicts`
 */
export function parsePolicy(text: string, where = 'policy'): Policy {
  const halves = HALVES.exec(text);
  if (halves === null) throw refusalOf(where, text, [{ path: [], message: 'there is no treatment behind a colon', help: FORM }]);
  const problems: Problem[] = [];
  const policy: Partial<Record<Key, unknown>> = {};
  for (const [half, written] of [halves[1]!, halves[2]!].entries()) {
    const [keys, others] = half === 0 ? [SELECTOR_KEYS, TREATMENT_KEYS] : [TREATMENT_KEYS, SELECTOR_KEYS];
    for (const [label, value] of entriesOf(written, problems)) {
      const key = keyOf(half === 0 && label === 'dtype' ? 'stored' : label, keys);
      if (key === undefined) problems.push(unknownKey(label, keys, others, half === 0));
      else if (policy[key] !== undefined)
        problems.push({
          path: [],
          message: `${label} is given twice`,
          help: 'Keep one of the two; several values go into one, with | between.',
        });
      else policy[key] = typed(key, value);
    }
  }
  if (problems.length === 0) problems.push(...policyProblems(policy as Policy));
  if (problems.length > 0) throw refusalOf(where, text, problems);
  return policy as Policy;
}

/** `average`, `newest`, `oldest` or a step, as `--router` takes it. @throws MergeError E_OPTION */
export function parseRouterUse(text: string, where: string): RouterUse {
  const use = typed('use', text.trim());
  const problem = routerProblem(use);
  if (problem === null) return use as RouterUse;
  throw new MergeError('E_OPTION', `${where}: ${problem.message}`, { help: problem.help! });
}

/** Pairs of key and value; a piece without a key belongs to the value before it. */
function entriesOf(text: string, problems: Problem[]): [string, string][] {
  const entries: [string, string][] = [];
  for (const piece of text.trim() === '' ? [] : text.split(',')) {
    const match = ENTRY.exec(piece);
    const last = entries.at(-1);
    if (match !== null) entries.push([match[1]!, match[2]!]);
    else if (last !== undefined) last[1] += `,${piece}`;
    else problems.push({ path: [], message: `${JSON.stringify(piece)} is no key=value`, help: FORM });
  }
  return entries.map(([key, value]) => [key, value.trim()]);
}

function keyOf<K extends Key>(label: string, keys: readonly K[]): K | undefined {
  return keys.find((key) => parameterLabel(key) === label);
}

function unknownKey(label: string, keys: readonly Key[], others: readonly Key[], selects: boolean): Problem {
  const [here, side] = selects ? ['before the colon', 'behind'] : ['behind the colon', 'before'];
  const labels = keys.map(parameterLabel);
  if (others.some((key) => parameterLabel(key) === label)) return { path: [], message: `${label} belongs ${side} the colon`, help: FORM };
  const near = didYouMean(label, labels);
  return {
    path: [],
    message: `there is no ${label} ${here}${near === null ? '' : `; did you mean ${near}?`}`,
    help: `Known there: ${labels.join(', ')}.`,
  };
}

/** A value of its type where the text fits it; else the text, which the checks then show. */
function typed(key: Key, text: string): unknown {
  if (key === 'weights') return text.split(',').map(numberOr);
  if (key === 'use') return /^\d+$/.test(text) ? Number(text) : text;
  if (key === 'dtype') return text.toUpperCase();
  const kind = key === 'normalize' ? 'flag' : PARAMETERS[key as ParameterName]?.kind;
  if (kind === 'flag') return text === 'true' ? true : text === 'false' ? false : text;
  return kind === 'number' || kind === 'integer' ? numberOr(text) : text;
}

function numberOr(text: string): number | string {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : text;
}

function refusalOf(where: string, text: string, problems: readonly Problem[]): MergeError {
  const about = `${where} '${text}'`;
  return refusal(
    problems.map((problem) => ({ ...problem, message: `${about}: ${problem.message}` })),
    { several: (count) => `${about} has ${count} problems` },
  );
}
