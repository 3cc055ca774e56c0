import { type Problem, pathText } from '../../base/problems.ts';
import { rolesProblems } from './roles.ts';
import {
  inherit,
  parameterOf,
  SCHEDULE_PARAMETER_NAMES,
  type ScheduleParameterName,
  type ScheduleRequest,
  type SearchedRange,
  SHARES,
  wantedValue,
} from './schedule-parameters.ts';
import { available } from './schedule-weights.ts';
import type { ParamValue } from './types.ts';

type Path = Problem['path'];
type Entries = Readonly<Partial<Record<ScheduleParameterName, SearchedRange | ParamValue>>>;

const LEVELS = ['parameters', 'fixed', 'roles'] as const;

/** An entry and where it stands. */
interface Placed {
  readonly name: ScheduleParameterName;
  readonly entry: SearchedRange | ParamValue;
  readonly path: Path;
}
type PlacedEntries = Readonly<Partial<Record<ScheduleParameterName, Placed>>>;

/**
 * All that is wrong with what is asked of a schedule over a pool of so many checkpoints, in a request whose
 * entries have the right form.
 * @param faulty whether something at this place, or within it, has not: that is told already, and nothing is
 *   said of what hangs on it
 */
export function scheduleProblems(request: ScheduleRequest, pool: number, faulty: (path: Path) => boolean = () => false): Problem[] {
  if (pool < 2) return [{ path: ['space'], message: 'there is one checkpoint, and so nothing to search' }];
  const searched = placed(request.parameters, ['parameters'], faulty);
  const fixed = placed(request.fixed, ['fixed'], faulty);
  const base: PlacedEntries = { ...fixed, ...searched };
  const roles = Object.entries(request.roles ?? {}).map(([role, own]) => ({
    path: ['roles', role],
    own: placed(own, ['roles', role], faulty),
  }));
  const problems = [
    ...Object.values(fixed).flatMap(({ name, path }) =>
      searched[name] === undefined
        ? []
        : [{ path, message: `\`${pathText(path)}\` is among the parameters that are searched: keep it in one place` }],
    ),
    ...[fixed, searched, ...roles.map(({ own }) => own)].flatMap((own) => Object.values(own).flatMap(valueProblems)),
    ...rolesProblems(Object.keys(request.roles ?? {}), (i) => roles[i]!.path),
    ...emptyProblems(request, faulty),
  ];
  // What does not go together is told of values that can be.
  if (problems.length > 0 || LEVELS.some((level) => faulty([level]))) return problems;
  const groups = [{ own: base, entries: base }, ...roles.map(({ own }) => ({ own, entries: inherit(base, own) }))];
  const methods = groups.flatMap(({ entries }) => methodsOf(entries));
  return groups.flatMap(({ own, entries }) => [
    // A parameter that roles share may be there for theirs.
    ...meaningProblems(own, own === base ? methods : methodsOf(entries)),
    ...methodProblems(own, entries),
    ...poolProblems(own, entries, pool),
  ]);
}

function placed(entries: Entries | undefined, path: Path, faulty: (path: Path) => boolean): PlacedEntries {
  const names = SCHEDULE_PARAMETER_NAMES.filter((name) => entries?.[name] !== undefined && !faulty([...path, name]));
  return Object.fromEntries(names.map((name) => [name, { name, entry: entries![name]!, path: [...path, name] }]));
}

function emptyProblems({ parameters = {}, roles = {} }: ScheduleRequest, faulty: (path: Path) => boolean): Problem[] {
  const entries = [parameters, ...Object.values(roles)].flatMap((group) => Object.values(group));
  if (entries.some((entry) => typeof entry === 'object') || LEVELS.some((level) => faulty([level]))) return [];
  const message = 'nothing is searched: `parameters` holds no range and no list, such as `window: { from: 2, to: 10 }`';
  return [{ path: ['parameters'], message }];
}

function valueProblems({ name, entry, path }: Placed): Problem[] {
  const wrong = (at: Path, value: unknown) => {
    const wanted = wantedValue(name, value);
    return wanted === null ? [] : [{ path: at, message: `\`${pathText(at)}\` must be ${wanted}, not ${JSON.stringify(value)}` }];
  };
  if (typeof entry !== 'object') return wrong(path, entry);
  if (parameterOf(name).kind === 'point') {
    const where = path[0] === 'roles' ? 'give it as a single value' : `put it under \`fixed\`, as \`${name}: 5B\``;
    return [{ path, message: `\`${pathText(path)}\` is given and not searched: ${where}` }];
  }
  if (!('from' in entry)) {
    const twice = entry.findIndex((value, i) => entry.indexOf(value) < i);
    return [
      ...entry.flatMap((value, i) => wrong([...path, i], value)),
      ...(twice < 0 ? [] : [{ path: [...path, twice], message: `\`${pathText([...path, twice])}\`: ${entry[twice]} is there twice` }]),
      ...(entry.length > 1 ? [] : [oneValue(path, name)]),
    ];
  }
  const { from, to, log } = entry;
  const bounds = [...wrong([...path, 'from'], from), ...wrong([...path, 'to'], to)];
  if (from > to) bounds.push({ path, message: `\`${pathText(path)}\` goes from ${from} to ${to}: the bounds are reversed` });
  if (from === to) bounds.push(oneValue(path, name));
  if (log && parameterOf(name).kind === 'integer') {
    const message = `\`${pathText([...path, 'log'])}\` is for real numbers; for whole ones list the values, as [1, 2, 4, 8]`;
    bounds.push({ path: [...path, 'log'], message });
  } else if (log && from <= 0 && wantedValue(name, from) === null) {
    bounds.push({ path: [...path, 'from'], message: `\`${pathText([...path, 'from'])}\` must be over 0 with \`log\`, not ${from}` });
  }
  return bounds;
}

function oneValue(path: Path, name: string): Problem {
  const where = path[0] === 'roles' ? 'give it as a single value' : `put it under \`fixed\`, as \`${name}: VALUE\``;
  return { path, message: `\`${pathText(path)}\` has one value, and so nothing to search: ${where}` };
}

function methodsOf({ method }: PlacedEntries): readonly ParamValue[] {
  return valuesOf(method, parameterOf('method').default!);
}

/** Values of a choice, or the bounds of a range. */
function valuesOf(placed: Placed | undefined, otherwise: ParamValue): readonly ParamValue[] {
  if (placed === undefined) return [otherwise];
  const { entry } = placed;
  return typeof entry !== 'object' ? [entry] : 'from' in entry ? [entry.from, entry.to] : entry;
}

function meaningProblems(own: PlacedEntries, methods: readonly ParamValue[]): Problem[] {
  return Object.values(own).flatMap(({ name, path }) => {
    const owners: readonly ParamValue[] = parameterOf(name).methods;
    if (methods.some((method) => owners.includes(method))) return [];
    const tried = [...new Set(methods)].join(', ');
    const message = `\`${pathText(path)}\` has no effect: it belongs to ${owners.join(' and ')}, and the method is ${tried}. Add ${owners.length === 1 ? 'it' : 'one'} under \`method\`, or leave ${name} out`;
    return [{ path, message }];
  });
}

function methodProblems(own: PlacedEntries, entries: PlacedEntries): Problem[] {
  const problems: Problem[] = [];
  const { method } = own;
  if (method !== undefined && methodsOf(entries).includes('extrapolate') && entries.gamma === undefined) {
    problems.push({
      path: method.path,
      message: `\`${pathText(method.path)}\`: extrapolate needs gamma, searched or fixed: ${parameterOf('gamma').help}`,
    });
  }
  const { origin } = own;
  const share = 'half-life-fraction';
  if (origin !== undefined && entries[share] === undefined) {
    const message = `\`${pathText(origin.path)}\` has no effect without \`${share}\`, the share of the training since then`;
    problems.push({ path: origin.path, message });
  }
  const [first, ...others] = SHARES.flatMap((name) => own[name] ?? []);
  for (const { path } of others) {
    problems.push({ path, message: `\`${pathText(path)}\` stands in the place of \`${pathText(first!.path)}\`: give one or the other` });
  }
  return problems;
}

/** Whether there are enough checkpoints for what is asked. */
function poolProblems(own: PlacedEntries, { window, spacing, skip, lag, ...others }: PlacedEntries, pool: number): Problem[] {
  const numbers = (placed: Placed | undefined, otherwise: number) => valuesOf(placed, otherwise).map(Number);
  const [spacings, skips] = [numbers(spacing, 1), numbers(skip, 0)];
  for (const [placed, most] of [
    [own.spacing, Math.max(...spacings)],
    [own.skip, Math.max(...skips)],
  ] as const) {
    if (placed === undefined || most < pool) continue;
    return [{ path: placed.path, message: `\`${pathText(placed.path)}\` goes up to ${most}, and there are ${pool} checkpoints` }];
  }
  const most = available(pool, { spacing: Math.min(...spacings), skip: Math.min(...skips) });
  const fewest = available(pool, { spacing: Math.max(...spacings), skip: Math.max(...skips) });
  const widest = Math.max(...numbers(window, 1));
  const lags = Math.max(...numbers(lag, 1));
  const problems: Problem[] = [];
  if (window !== undefined && widest > most && (own.window ?? own.spacing ?? own.skip) !== undefined) {
    const left = most === pool ? `there are ${pool} checkpoints` : `spacing and skip leave ${most} of ${pool} checkpoints`;
    problems.push({ path: window.path, message: `\`${pathText(window.path)}\` goes up to ${widest}, and ${left}` });
  }
  const cause = own.method ?? own.lag ?? own.spacing ?? own.skip;
  if (cause !== undefined && methodsOf(others).includes('extrapolate') && fewest < lags + 1) {
    const message = `\`${pathText(cause.path)}\`: extrapolate with lag ${lags} needs ${lags + 1} members, and there may be as few as ${fewest} of ${pool} checkpoints`;
    problems.push({ path: cause.path, message });
  }
  return problems;
}
