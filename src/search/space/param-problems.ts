import { didYouMean } from '../../base/did-you-mean.ts';
import { printable } from '../../render/format.ts';
import type { ParamValue, SpaceParameter } from './types.ts';

/** Characters of a value that a message shows. */
const SHOWN = 80;

/**
 * All that is wrong with parameters that somebody sent: unknown, missing, of the wrong kind, out of bounds.
 * What a space refuses beyond that (weights that no point stands for) only its `encode` knows.
 */
export function paramProblems(params: Readonly<Record<string, unknown>>, parameters: readonly SpaceParameter[]): string[] {
  const names = parameters.map(({ name }) => name);
  const unknown = Object.keys(params).filter((name) => !names.includes(name));
  return [
    ...unknown.map((name) => {
      const meant = didYouMean(name, names);
      return `there is no parameter ${printable(name)}${meant === null ? `, only ${names.join(', ')}` : `: did you mean ${meant}?`}`;
    }),
    ...parameters.flatMap((parameter) => {
      if (!Object.hasOwn(params, parameter.name)) return [`the parameter ${parameter.name} is missing`];
      const problem = valueProblem(params[parameter.name], parameter);
      return problem === null ? [] : [`${parameter.name} is ${shown(params[parameter.name])}, and ${problem}`];
    }),
  ];
}

function valueProblem(value: unknown, { kind, low, high, values }: SpaceParameter): string | null {
  if (kind === 'choice')
    return values?.includes(value as ParamValue) ? null : `it is one of ${values?.map((v) => JSON.stringify(v)).join(', ')}`;
  if (typeof value !== 'number') return 'it is a number';
  if (kind === 'integer' && !Number.isInteger(value)) return 'it is a whole number';
  // JSON.parse reads 1e999 as Infinity, which is beyond every bound.
  return (low !== undefined && value < low) || (high !== undefined && value > high) ? `it lies between ${low} and ${high}` : null;
}

function shown(value: unknown): string {
  // JSON.parse reads 1e999 as Infinity, for which JSON has no word.
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value);
  return printable(text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
}
