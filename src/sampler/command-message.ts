import { printable } from '../cli/format.ts';
import { didYouMean } from '../did-you-mean.ts';
import type { Point } from '../gp/types.ts';
import type { Params, ParamValue, Space, SpaceParameter } from '../space/types.ts';

/** What a line of a sampler command says, or all that is wrong with it. */
export type ReadProposal =
  | { readonly stop: true }
  | { readonly params: Params; readonly point: Point }
  | { readonly problems: readonly string[]; readonly line: string };

/** Characters of a line that a message shows. */
const SHOWN = 200;

/** Reads the answer to `{"ask":1}`: `{"params":{…}}` with a value for each parameter of the space, or `{"stop":true}`. */
export function readProposal(line: string, space: Space): ReadProposal {
  const bad = (problems: readonly string[]) => ({ problems, line: shown(line) });
  const message = parsed(line);
  if (message === undefined) return bad([`an answer is one line of JSON, ${form(space)} or {"stop":true}`]);
  if (message.stop === true) return { stop: true };
  if (!isObject(message.params)) return bad([`an answer has "params", as in ${form(space)}, or is {"stop":true}`]);
  const problems = paramProblems(message.params, space.parameters);
  if (problems.length > 0) return bad(problems);
  const params = message.params as Params;
  const point = space.encode(params);
  return point === null ? bad(['these parameters lie outside the space']) : { params, point };
}

function parsed(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function paramProblems(params: Record<string, unknown>, parameters: readonly SpaceParameter[]): string[] {
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
      return problem === null ? [] : [`${parameter.name} is ${shown(JSON.stringify(params[parameter.name]))}, and ${problem}`];
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

/** An example of the answer, with the names of this space. */
function form({ parameters }: Space): string {
  const values = parameters.slice(0, 3).map(({ name, kind, low, values }) => [name, kind === 'choice' ? values?.[0] : low]);
  return JSON.stringify({ params: Object.fromEntries(values) });
}

function shown(text: string): string {
  return printable(text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
}
