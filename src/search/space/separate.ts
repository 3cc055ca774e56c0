import type { ScheduleMember } from '../../recipe/schedule/types.ts';
import type { Point } from '../gaussian-process/cube.ts';
import { boxSpace } from './box.ts';
import type { Dimension } from './dimension.ts';
import type { Candidate, Params, Space } from './types.ts';

/**
 * Weights by a few numbers, the same for the rest of the model and for each role that has weights of its own.
 */
export interface SeparateParts {
  readonly name: Space['name'];
  readonly members: readonly ScheduleMember[];
  /** Roles with weights of their own; their parameters are named `ROLE.NAME`. */
  readonly separate: readonly string[];
  /** @param prefix of the parameters' names */
  dimensions(prefix: string): readonly Dimension[];
  /** Over all members. @param values of the dimensions, in their order */
  weights(values: readonly number[]): readonly number[];
  /** Values that give these weights, inside the bounds or not; null where there are none. */
  values(weights: readonly number[]): readonly number[] | null;
  /** Points of one set of weights, for all roles alike. */
  readonly initial: readonly Point[];
}

/** A space in which some roles have parameters of their own. */
export function separateSpace({ name, members, separate, initial, ...by }: SeparateParts): Space {
  const base = by.dimensions('');
  const groups = [base, ...separate.map((role) => by.dimensions(`${role}.`))];
  const weightsOf = (dimensions: readonly Dimension[], params: Params) =>
    by.weights(dimensions.map(({ parameter }) => Number(params[parameter.name])));
  const candidate = (params: Params): Candidate => ({
    weights: weightsOf(base, params),
    parts: separate.map((role, i) => ({ role, weights: weightsOf(groups[i + 1]!, params) })),
  });
  const alike = initial.map((point) => groups.flatMap(() => point));
  const space: Space = boxSpace({
    name,
    members,
    roles: separate,
    dimensions: groups.flat(),
    initial: alike,
    candidate: async (params) => candidate(params),
    locate: async (wanted) => {
      if (wanted.parts.some(({ role }) => !separate.includes(role))) return null;
      const rows = [wanted.weights, ...separate.map((role) => wanted.parts.find((part) => part.role === role)?.weights ?? wanted.weights)];
      const values = rows.map((row) => by.values(row));
      if (!values.every((found) => found !== null)) return null;
      const params = Object.fromEntries(groups.flat().map(({ parameter }, k) => [parameter.name, values.flat()[k]!]));
      return space.encode(params) === null ? null : params;
    },
  });
  return space;
}
