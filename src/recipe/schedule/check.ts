import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import type { Problem } from '../../base/problems.ts';
import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import type { QuantityText } from '../../checkpoints/run/types.ts';
import { METHODS, methodByName, takersOf } from './methods.ts';
import { CONTROL_PARAMETERS, inRange, PARAMETERS, type Parameter, type ParameterName, rangeText } from './parameters.ts';
import type { WeightRequest } from './types.ts';

/** Pairs of parameters that exclude each other, and why. */
export const EXCLUSIVE_PARAMETERS: readonly (readonly [ParameterName, ParameterName, string])[] = [
  ['alpha', 'halfLife', 'alpha counts members, a half-life measures'],
  ['alpha', 'halfLifeFraction', 'alpha counts members, a half-life measures'],
  ['halfLife', 'halfLifeFraction', 'a half-life is a distance, or a share of the training so far'],
  ['decay', 'decayFile', 'a list of factors has its own shape'],
  ['decayFloor', 'decayFile', 'a list of factors has its own floor'],
  ['decayEnd', 'decayFile', 'a list of factors has its own end'],
  ['reverse', 'scramble', 'weights have one order'],
];

/** Parameters that mean something beside another one only. */
const BESIDE: readonly (readonly [ParameterName, ParameterName])[] = [['origin', 'halfLifeFraction']];

/**
 * All problems of a request that need no members to be seen: unknown methods, parameters of other methods,
 * values out of range, contradictions. Each has help, and the parameter as its path.
 */
export function weightProblems(request: WeightRequest): Problem[] {
  const problems = methodProblems(request);
  const own = ownParameters(request);
  const method = request.weights === undefined ? `method ${request.method ?? 'sma'}` : 'explicit weights';
  for (const name of Object.keys(PARAMETERS) as ParameterName[]) {
    const { required }: Parameter = PARAMETERS[name];
    const [value, label] = [request[name], optionName(name)];
    if (value === undefined) {
      if (required && own?.includes(name)) problems.push({ path: [name], message: `${method} needs ${label}`, help: about(name) });
    } else if (own === null || own.includes(name)) {
      problems.push(...valueProblems(name, value));
    } else {
      const help = `Leave it out: it belongs to ${list(takersOf(name), 'and')}.`;
      problems.push({ path: [name], message: `${label} has no meaning for ${method}`, help });
    }
  }
  for (const [a, b, why] of EXCLUSIVE_PARAMETERS) {
    if (![a, b].every((name) => own?.includes(name) && request[name] !== undefined && request[name] !== false)) continue;
    const message = `${optionName(a)} and ${optionName(b)} cannot be used together: ${why}`;
    problems.push({ path: [b], message, help: 'Give one or the other.' });
  }
  for (const [name, other] of BESIDE) {
    if (!own?.includes(name) || request[name] === undefined || request[other] !== undefined) continue;
    const message = `${optionName(name)} has no meaning without ${optionName(other)}`;
    problems.push({ path: [name], message, help: about(name) });
  }
  return problems;
}

function methodProblems({ method, weights, normalize }: WeightRequest): Problem[] {
  const problems: Problem[] = [];
  const schedule = methodByName(method ?? 'sma');
  if (schedule === undefined) {
    const names = METHODS.map((s) => s.name);
    const near = didYouMean(String(method), names);
    const help = `${near === null ? '' : `Did you mean ${near}? `}The methods are ${list(names, 'and')}.`;
    problems.push({ path: ['method'], message: `there is no method ${JSON.stringify(method)}`, help });
  }
  if (weights !== undefined && method !== undefined) {
    problems.push({
      path: ['weights'],
      message: 'explicit weights and a method cannot be used together',
      help: 'Give one or the other.',
    });
  }
  if (weights === undefined && normalize) {
    const message = `${optionName('normalize')} is for explicit weights; ${method ?? 'sma'} is used exactly as its formula gives it`;
    problems.push({ path: ['normalize'], message, help: `Leave ${optionName('normalize')} out.` });
  }
  return problems;
}

/** Parameters that the request may have; null when its method is unknown. */
function ownParameters({ method, weights }: WeightRequest): readonly ParameterName[] | null {
  const schedule = methodByName(method ?? 'sma');
  if (weights !== undefined) return CONTROL_PARAMETERS;
  return schedule === undefined ? null : [...schedule.parameters, ...CONTROL_PARAMETERS];
}

function valueProblems(name: ParameterName, value: NonNullable<WeightRequest[ParameterName]>): Problem[] {
  const { kind } = PARAMETERS[name];
  const wanted =
    kind === 'quantity' || kind === 'point' ? wantedQuantity(name, value as QuantityText) : wantedValue(PARAMETERS[name], value);
  if (wanted === null) return [];
  return [{ path: [name], message: `${optionName(name)} must be ${wanted}, not ${JSON.stringify(value)}`, help: about(name) }];
}

/** What a value should have been; null where it is right. */
function wantedValue(parameter: Parameter, value: unknown): string | null {
  const range = parameter.range ?? {};
  const inWords = rangeText(range) === '' ? '' : ` ${rangeText(range)}`;
  switch (parameter.kind) {
    case 'number':
      return Number.isFinite(value) && inRange(value as number, range) ? null : `a number${inWords}`;
    case 'integer':
      return Number.isSafeInteger(value) && inRange(value as number, range) ? null : `a whole number${inWords}`;
    case 'choice':
      return parameter.choices!.includes(value as string) ? null : list(parameter.choices!, 'or');
    case 'flag':
      return typeof value === 'boolean' ? null : 'true or false';
    default:
      return typeof value === 'string' && value !== '' ? null : 'the path of a file';
  }
}

function wantedQuantity(name: ParameterName, text: QuantityText): string | null {
  try {
    const { value, unit } = parseQuantity(text, optionName(name));
    if (PARAMETERS[name].kind === 'point') return unit === 'checkpoints' ? 'a step or a token count, as 12000 or 2T' : null;
    return value > 0 ? null : 'a distance over 0';
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    return 'tokens, steps or checkpoints, as 2B, 500steps or 3ckpt';
  }
}

function about(name: ParameterName): string {
  return `${optionName(name)}: ${PARAMETERS[name].help}.`;
}

function list(words: readonly string[], last: 'and' | 'or'): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${last} ${words.at(-1)}`;
}
