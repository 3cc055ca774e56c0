import { printable } from '../../render/format.ts';
import type { Point } from '../gaussian-process/types.ts';
import { paramProblems } from '../space/param-problems.ts';
import type { Params, Space } from '../space/types.ts';

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

/** An example of the answer, with the names of this space. */
function form({ parameters }: Space): string {
  const values = parameters.slice(0, 3).map(({ name, kind, low, values }) => [name, kind === 'choice' ? values?.[0] : low]);
  return JSON.stringify({ params: Object.fromEntries(values) });
}

function shown(text: string): string {
  return printable(text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);
}
