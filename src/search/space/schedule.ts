import type { ScheduleContext, ScheduleMember } from '../../recipe/schedule/types.ts';
import type { Point } from '../gaussian-process/cube.ts';
import { boxSpace } from './box.ts';
import { type Dimension, integerDimension, listDimension, realDimension } from './dimension.ts';
import { refuseSpace } from './problems.ts';
import { scheduleProblems } from './schedule-check.ts';
import {
  inherit,
  parameterOf,
  SCHEDULE_PARAMETER_NAMES,
  type ScheduleParameterName,
  type ScheduleRequest,
  type SearchedRange,
  type Settings,
} from './schedule-parameters.ts';
import { scheduleWeights } from './schedule-weights.ts';
import type { Candidate, Params, ParamValue, Space } from './types.ts';

/**
 * First points of a schedule space, at most: baselines are scored before them, and the sampler's own follow.
 */
const MOST_INITIAL = 4;

/** Searched and fixed parameters of one set of weights. */
interface Group {
  /** Of the names of its parameters: empty, or the role and a dot. */
  readonly prefix: string;
  readonly searched: readonly ScheduleParameterName[];
  readonly dimensions: readonly Dimension[];
  readonly fixed: Settings;
}

/**
 * What `space: schedule` searches where nothing else is said: how many members, the shape, and the decay of
 * the shape that has one. `wsm` is that of a 1-sqrt decay, since that of a linear one is sma. The choice is
 * ours.
 *
 * @param members of the pool, at least two
 */
export function defaultSchedule(members: number): ScheduleRequest {
  return {
    parameters: {
      ...(members > 2 ? { window: { from: 2, to: members } } : {}),
      method: ['sma', 'wma', 'ema-normalized', 'wsm'],
      alpha: { from: 0.05, to: 0.5, log: true },
    },
    fixed: { decay: '1-sqrt' },
  };
}

/**
 * The few parameters of a schedule over a pool of checkpoints: see {@link SCHEDULE_PARAMETERS}. Parameters of
 * other methods than the one chosen have no effect.
 *
 * @param members the pool, oldest first
 * @throws MergeError E_SPACE with all problems of the request; what {@link scheduleWeights} throws where a
 *   method cannot be used on the whole pool
 */
export async function scheduleSpace(
  members: readonly ScheduleMember[],
  request: ScheduleRequest = defaultSchedule(members.length),
  context: ScheduleContext = {},
): Promise<Space> {
  refuseSpace(scheduleProblems(request, members.length));
  const base = groupOf('', request.parameters ?? {}, request.fixed ?? {});
  const roles = Object.entries(request.roles ?? {}).map(([role, own]) => ({ role, ...groupOf(`${role}.`, own, {}) }));
  const groups = [base, ...roles];
  const dimensions = groups.flatMap((group) => group.dimensions);
  const weigh = (settings: Settings) => scheduleWeights(members, settings, context);
  const candidate = async (params: Params): Promise<Candidate> => {
    const shared = settingsOf(base, params);
    const parts = await Promise.all(
      roles.map(async ({ role, ...group }) => ({ role, weights: await weigh(inherit(shared, settingsOf(group, params))) })),
    );
    return { weights: await weigh(shared), parts };
  };
  const space: Space = boxSpace({
    name: 'schedule',
    members,
    roles: roles.map(({ role }) => role),
    dimensions,
    initial: initialPoints(dimensions),
    candidate,
    locate: async (wanted) => {
      const params = meanParams(wanted.weights, dimensions);
      if (params === null || space.encode(params) === null) return null;
      return sameWeights(await candidate(params), wanted) ? params : null;
    },
  });
  // A method that these members do not allow is told before the first evaluation, not at the first trial that
  // tries it.
  for (const point of methodPoints(dimensions, middle(dimensions))) await candidate(space.decode(point));
  return space;
}

function groupOf(
  prefix: string,
  entries: Readonly<Partial<Record<ScheduleParameterName, SearchedRange | ParamValue>>>,
  fixed: Settings,
): Group {
  const given = SCHEDULE_PARAMETER_NAMES.filter((name) => entries[name] !== undefined);
  const searched = given.filter((name) => typeof entries[name] === 'object');
  const single = given.filter((name) => typeof entries[name] !== 'object').map((name) => [name, entries[name]]);
  return {
    prefix,
    searched,
    dimensions: searched.map((name) => dimensionOf(name, prefix, entries[name] as SearchedRange)),
    fixed: { ...fixed, ...(Object.fromEntries(single) as Settings) },
  };
}

function dimensionOf(name: ScheduleParameterName, prefix: string, entry: SearchedRange): Dimension {
  if (!('from' in entry)) return listDimension(`${prefix}${name}`, entry);
  return parameterOf(name).kind === 'integer'
    ? integerDimension(`${prefix}${name}`, entry.from, entry.to)
    : realDimension(`${prefix}${name}`, entry.from, entry.to, entry.log);
}

function settingsOf({ prefix, searched, fixed }: Group, params: Params): Settings {
  return { ...fixed, ...Object.fromEntries(searched.map((name) => [name, params[`${prefix}${name}`]!])) };
}

/** The middle of all but spacing and skip: the newest checkpoints, side by side, are what one tries first. */
function middle(dimensions: readonly Dimension[]): Point {
  return dimensions.map(({ parameter: { name } }) => (ofName(name, 'spacing') || ofName(name, 'skip') ? 0 : 0.5));
}

/** The middle; the mean of as many members as there may be; the middle of each method. */
function initialPoints(dimensions: readonly Dimension[]): readonly Point[] {
  const centre = middle(dimensions);
  const widest = dimensions.map(({ parameter, place }, k) =>
    ofName(parameter.name, 'window') ? 1 : ((ofName(parameter.name, 'method') ? place('sma') : null) ?? centre[k]!),
  );
  const points = [centre, widest, ...methodPoints(dimensions, centre)];
  const distinct = new Map(points.map((point) => [dimensions.map(({ at }, k) => at(point[k]!)).join(), point]));
  return [...distinct.values()].slice(0, MOST_INITIAL);
}

/** A point with each of the methods that are searched, roles alike. */
function methodPoints(dimensions: readonly Dimension[], around: Point): readonly Point[] {
  const methods = new Set(dimensions.flatMap(({ parameter }) => (ofName(parameter.name, 'method') ? parameter.values! : [])));
  const points = [...methods].map((method) =>
    dimensions.map(({ parameter, place }, k) => (ofName(parameter.name, 'method') ? place(method) : null) ?? around[k]!),
  );
  return points.length === 0 ? [around] : points;
}

/**
 * Parameters of the mean that these weights are, of the newest members or of those before the newest; null
 * where they are none.
 */
function meanParams(weights: readonly number[], dimensions: readonly Dimension[]): Params | null {
  const first = weights.findIndex((weight) => weight !== 0);
  const last = weights.findLastIndex((weight) => weight !== 0);
  const taking = weights.slice(first, last + 1);
  if (first < 0 || taking.some((weight) => weight !== taking[0])) return null;
  const mean: Settings = { window: taking.length, spacing: 1, skip: weights.length - 1 - last, method: 'sma' };
  return Object.fromEntries(
    dimensions.map(({ parameter, at, place }) => {
      const name = parameter.name.slice(parameter.name.lastIndexOf('.') + 1) as ScheduleParameterName;
      const value = mean[name];
      // One member alone is the same by any method.
      const replaced = name === 'method' && place('sma') === null;
      return [parameter.name, value === undefined || replaced ? at(0.5) : value];
    }),
  );
}

function sameWeights(a: Candidate, b: Candidate): boolean {
  const row = (candidate: Candidate, role: string | null) =>
    candidate.parts.find((part) => part.role === role)?.weights ?? candidate.weights;
  const roles = [null, ...[...a.parts, ...b.parts].map(({ role }) => role)];
  return roles.every((role) => row(a, role).every((weight, i) => weight === row(b, role)[i]));
}

function ofName(full: string, name: ScheduleParameterName): boolean {
  return full === name || full.endsWith(`.${name}`);
}
