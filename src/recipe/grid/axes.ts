import { keysOf } from '../../base/pick.ts';
import { type Option, OUTPUT } from '../options.ts';
import { METHODS, type Method, methodByName } from '../schedule/methods.ts';
import { CONTROL_PARAMETERS, PARAMETERS, type ParameterName } from '../schedule/parameters.ts';
import type { ScheduleName, WeightRequest } from '../schedule/types.ts';
import { topOf } from '../select/scored.ts';
import type { Grid, OneOrMore, TreatmentAxis } from './types.ts';

/** A window is of the run here: extrapolation, which has windows of its own, is for recipes. */
const WITHOUT: readonly ScheduleName[] = ['extrapolate'];

/** Methods that a grid may have. */
const GRID_METHODS: readonly Method[] = METHODS.filter(({ name }) => !WITHOUT.includes(name));

/** Parameters of these methods, each an axis. */
export const PARAMETER_AXES: readonly ParameterName[] = keysOf(PARAMETERS).filter(
  (name) => !CONTROL_PARAMETERS.some((control) => control === name) && takers(name).length > 0,
);

/** What of an output is an axis beside its schedule, in the order in which names tell of it. */
export const TREATMENT_AXES: readonly TreatmentAxis[] = ['dtype', 'router', 'for', 'optimizer', 'extraState', 'weightsFrom', 'weightsFile'];

/** What recipes know of an axis that is one of a recipe's output. */
export function axisOption(name: TreatmentAxis | ParameterName | 'method'): Option {
  if (name !== 'method') return OUTPUT[name];
  return { ...OUTPUT.method, choices: GRID_METHODS.map((method) => method.name), default: 'that of the parameters given, else sma' };
}

export function valuesOf<T>(given: OneOrMore<T> | undefined): readonly T[] {
  return given === undefined ? [] : Array.isArray(given) ? given : [given as T];
}

/** Methods of grids that take a parameter. */
export function takers(name: ParameterName): readonly Method[] {
  return GRID_METHODS.filter(({ parameters }) => parameters.includes(name));
}

/** Parameters of schedules that a grid gives. */
export function givenParameters(grid: Grid): readonly ParameterName[] {
  return PARAMETER_AXES.filter((name) => valuesOf(grid[name as keyof Grid] as OneOrMore<unknown>).length > 0);
}

/**
 * The methods of a grid: as given, else those that its parameters belong to where each belongs to one alone,
 * else the simple mean.
 */
export function methodsOf(grid: Grid): readonly ScheduleName[] {
  const given = valuesOf(grid.method);
  if (given.length > 0) return given;
  const parameters = givenParameters(grid);
  if (parameters.length === 0) return ['sma'];
  const wanted = new Set(parameters.flatMap((name) => takers(name).map((method) => method.name)));
  return GRID_METHODS.flatMap(({ name }) => (wanted.has(name) ? [name] : []));
}

/** Every schedule of a grid: each method with every combination of the parameters given that it takes. */
export function schedulesOf(grid: Grid): readonly WeightRequest[] {
  const given = givenParameters(grid);
  return methodsOf(grid).flatMap((method) => {
    const own = given.filter((name) => methodByName(method)?.parameters.includes(name));
    return combinations(own.map((name) => [name, valuesOf(grid[name as keyof Grid] as OneOrMore<unknown>)] as const)).map(
      (parameters): WeightRequest => ({ method, ...parameters }),
    );
  });
}

/** Every combination of one value of each, the last one changing fastest. */
export function combinations(axes: readonly (readonly [name: string, values: readonly unknown[]])[]): Record<string, unknown>[] {
  return axes.reduce<Record<string, unknown>[]>(
    (all, [name, values]) => all.flatMap((one) => values.map((value) => ({ ...one, [name]: value }))),
    [{}],
  );
}

/** Members of merges: all of a window, or the best so many by their scores. */
export function topsOf(grid: Grid): readonly (number | null)[] {
  return grid.members === undefined ? [null] : valuesOf(grid.members).map((text) => (text === ALL_MEMBERS ? null : topOf(text)));
}

/** All members of a window, where others are chosen by scores. */
export const ALL_MEMBERS = 'all';

/** A control experiment: nothing, `reverse`, or `scramble` with a seed. */
export type Control = Pick<WeightRequest, 'reverse' | 'scramble'>;

const SEEDS = /^scramble-seeds:(\d{1,15})(?:-(\d{1,15}))?$/;

/** Seeds of one entry: more are a mistake. */
export const MOST_SEEDS = 10_000;

/** Controls that an entry stands for; null where it is none. */
export function parseControl(text: unknown): readonly Control[] | null {
  if (text === 'reverse') return [{ reverse: true }];
  const [, first, last = first] = SEEDS.exec(String(text)) ?? [];
  if (first === undefined) return null;
  const [from, to] = [Number(first), Number(last)];
  if (to < from || to - from >= MOST_SEEDS) return null;
  return Array.from({ length: to - from + 1 }, (_, i) => ({ scramble: from + i }));
}

/** Why an entry is no control, of one that is nearly one; null of any other. */
export function seedsFault(text: unknown): string | null {
  const [, first, last = first] = SEEDS.exec(String(text)) ?? [];
  if (first === undefined) return null;
  const [from, to] = [Number(first), Number(last)];
  if (to < from) return `the first seed, ${from}, lies above the last, ${to}`;
  return to - from >= MOST_SEEDS ? `these are ${to - from + 1} seeds, and at most ${MOST_SEEDS} are of use` : null;
}

/** The controls of a grid; the first is none. */
export function controlsOf(grid: Grid): readonly Control[] {
  return [{}, ...valuesOf(grid.controls).flatMap((text) => parseControl(text) ?? [])];
}
