import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { optionName } from '../../base/option-words.ts';
import type { Problem } from '../../base/problems.ts';
import { formatQuantity, parseDistance, parseQuantity } from '../../checkpoints/run/quantity.ts';
import { positiveTokens } from '../../checkpoints/run/token-source.ts';
import { contradictions } from '../file/contradictions.ts';
import { policyProblems, routerProblem, sameSelectors } from '../policy/check.ts';
import type { Policy } from '../policy/types.ts';
import { weightProblems } from '../schedule/check.ts';
import { parameterLabel } from '../schedule/parameters.ts';
import { topOf } from '../select/scored.ts';
import type { RecipeOutput } from '../types.ts';
import {
  ALL_MEMBERS,
  axisOption,
  combinations,
  givenParameters,
  MOST_SEEDS,
  methodsOf,
  parseControl,
  schedulesOf,
  seedsFault,
  TREATMENT_AXES,
  takers,
  valuesOf,
} from './axes.ts';
import { everyOf } from './endpoints.ts';
import { POLICIES_NAME } from './names.ts';
import type { Grid, OneOrMore } from './types.ts';

/** Values of an axis: more are a mistake. */
const MOST_VALUES = 10_000;

/**
 * Everything that is wrong with a grid before a run is seen: values that cannot be, axes that contradict one
 * another or mean nothing together. Each has its axis as its path.
 */
export function gridProblems(grid: Grid): Problem[] {
  const wrong = [
    ...listProblems(grid),
    ...placeProblems(grid),
    ...numberProblems(grid),
    ...memberProblems(grid),
    ...policyAxisProblems(grid),
  ];
  const choices = choiceProblems(grid);
  // What axes mean together can be told of values that each can be.
  return [...wrong, ...choices, ...(choices.length > 0 ? [] : [...scheduleProblems(grid), ...togetherProblems(grid)])];
}

const AXES = ['windows', 'endpoints', 'strides', 'members', 'controls', 'method', 'stageStarts', ...TREATMENT_AXES] as const;

function axis(grid: Grid, name: string): readonly unknown[] {
  return valuesOf(grid[name as keyof Grid] as OneOrMore<unknown> | undefined);
}

/** Lists that are empty, endless, or name a value twice. */
function listProblems(grid: Grid): Problem[] {
  return [...AXES, ...givenParameters(grid)].flatMap((name): Problem[] => {
    const given = grid[name as keyof Grid];
    const values = axis(grid, name);
    if (given === undefined) {
      return name === 'windows'
        ? [
            {
              path: [],
              message: `${optionName('windows')} is missing: how far back each merge reaches`,
              help: 'As 125B, 5000steps or 10ckpt.',
            },
          ]
        : [];
    }
    if (values.length === 0) return [{ path: [name], message: `${optionName(name)} names no value`, help: 'Give one, or leave it out.' }];
    if (values.length > MOST_VALUES)
      return [
        {
          path: [name],
          message: `${optionName(name)} has ${values.length} values, and at most ${MOST_VALUES} are of use`,
          help: 'Give fewer.',
        },
      ];
    const texts = values.map((value) => plain(name, value));
    const twice = texts.findIndex((text, i) => texts.indexOf(text) < i);
    if (twice < 0) return [];
    return [{ path: [name, twice], message: `${optionName(name)} names ${String(values[twice])} twice`, help: 'Give each value once.' }];
  });
}

/** Amounts that are written differently and are one. */
function plain(name: string, value: unknown): string {
  if (name !== 'windows' && name !== 'stageStarts') return String(value);
  try {
    return formatQuantity(parseQuantity(value as string, name));
  } catch {
    return String(value);
  }
}

function placeProblems(grid: Grid): Problem[] {
  return [
    ...axis(grid, 'windows').flatMap((value, i) =>
      told(['windows', i], () => {
        const { value: amount, unit } = parseDistance(amountOf(value, 'windows'), optionName('windows'));
        if (unit === 'checkpoints' && !Number.isInteger(amount))
          throw new MergeError('E_OPTION', `${optionName('windows')} ${value} is no whole number of checkpoints`);
      }),
    ),
    ...axis(grid, 'endpoints').flatMap((value, i) => told(['endpoints', i], () => checkEndpoint(value))),
    ...axis(grid, 'stageStarts').flatMap((value, i) => told(['stageStarts', i], () => checkPlace(value, 'stageStarts'))),
    ...(grid.tokensPerStep === undefined
      ? []
      : told(['tokensPerStep'], () => positiveTokens(grid.tokensPerStep!, optionName('tokensPerStep')))),
  ];
}

const ENDPOINTS = 'newest, all, every:250B, or the place of a save, as 12000 or 500B';

function checkEndpoint(value: unknown): void {
  const name = optionName('endpoints');
  if (value === 'newest' || value === 'all') return;
  const every = typeof value === 'string' ? everyOf(value) : null;
  if (every !== null) {
    if (parseDistance(every, `${name} every`).unit !== 'checkpoints') return;
    throw new MergeError('E_OPTION', `${name} ${value} counts saves, and what is removed of them would move it`, {
      help: 'Say it in tokens or steps; `all` are all saves.',
    });
  }
  const word = typeof value === 'string' ? /^[a-z].*$/is.exec(value.trim())?.[0] : undefined;
  if (word !== undefined || !(typeof value === 'string' || typeof value === 'number')) {
    const near = word === undefined ? null : endpointNear(word);
    throw new MergeError(
      'E_OPTION',
      `${name} takes ${ENDPOINTS}, not ${JSON.stringify(value)}${near === null ? '' : `; did you mean ${near}?`}`,
    );
  }
  checkPlace(value, 'endpoints');
}

/** An entry that was meant; null where none is near. */
function endpointNear(word: string): string | null {
  const [, amount] = /^every[^0-9a-z]*(\d.*)$/i.exec(word) ?? [];
  if (amount === undefined) return didYouMean(word, ['newest', 'all']);
  try {
    return parseDistance(amount, 'every').unit === 'checkpoints' ? null : `every:${amount}`;
  } catch {
    return null;
  }
}

function checkPlace(value: unknown, name: 'endpoints' | 'stageStarts'): void {
  if (parseQuantity(amountOf(value, name), optionName(name)).unit !== 'checkpoints') return;
  throw new MergeError('E_OPTION', `${optionName(name)} takes a step or a token count, not ${value}`);
}

function amountOf(value: unknown, name: string): string | number {
  if (typeof value === 'string' || typeof value === 'number') return value;
  throw new MergeError('E_OPTION', `${optionName(name)} takes amounts such as 125B or 5000steps, not ${JSON.stringify(value)}`);
}

/** The problem that a look at a value throws. */
function told(path: Problem['path'], look: () => void): Problem[] {
  try {
    look();
    return [];
  } catch (error) {
    if (!(error instanceof MergeError)) throw error;
    return [{ path, message: error.message, help: error.help }];
  }
}

function numberProblems(grid: Grid): Problem[] {
  const wrong = (path: Problem['path'], value: unknown, least: number): Problem[] => {
    if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= MOST.count) return [];
    const message = `${optionName(String(path[0]))} takes a whole number of at least ${least}, not ${JSON.stringify(value)}`;
    return [{ path, message, help: 'It counts saves, or stages.' }];
  };
  return [
    ...axis(grid, 'strides').flatMap((value, i) => wrong(['strides', i], value, 1)),
    ...(grid.stage === undefined ? [] : wrong(['stage'], grid.stage, 0)),
    ...axis(grid, 'controls').flatMap((value, i): Problem[] => {
      if (parseControl(value) !== null) return [];
      const fault = seedsFault(value);
      const message =
        fault === null
          ? `${optionName('controls')} takes reverse and scramble-seeds:1-3, not ${JSON.stringify(value)}`
          : `${optionName('controls')} ${String(value)}: ${fault}`;
      return [
        { path: ['controls', i], message, help: `Seeds are whole numbers, the first not above the last, at most ${MOST_SEEDS} of them.` },
      ];
    }),
  ];
}

/** What chooses members by their scores. */
function memberProblems(grid: Grid): Problem[] {
  const values = axis(grid, 'members');
  const wrong = values.flatMap((value, i): Problem[] => {
    if (value === ALL_MEMBERS || (typeof value === 'string' && topOf(value) !== null)) return [];
    const message = `${optionName('members')} takes all, or top:K with a whole number of at least 1, not ${JSON.stringify(value)}`;
    return [{ path: ['members', i], message, help: 'As top:8, of the saves of each window.' }];
  });
  if (wrong.length > 0) return wrong;
  const chosen = values.findIndex((value) => value !== ALL_MEMBERS);
  if (chosen >= 0 && grid.memberScores === undefined) {
    const message = `${optionName('members')} ${String(values[chosen])} needs ${optionName('memberScores')}`;
    return [{ path: ['members', chosen], message, help: 'Name a file of scores by step, or a folder of results.' }];
  }
  if (chosen >= 0) return [];
  return (['memberScores', 'memberMetrics', 'memberGoal'] as const).flatMap((name): Problem[] => {
    if (grid[name] === undefined) return [];
    const message = `${optionName(name)} has a meaning only with ${optionName('members')}, as top:8`;
    return [{ path: [name], message, help: `Leave it out, or say how many are chosen by it.` }];
  });
}

/** Words that an axis does not have. */
function choiceProblems(grid: Grid): Problem[] {
  return (['method', ...TREATMENT_AXES] as const).flatMap((name) =>
    axis(grid, name).flatMap((value, i): Problem[] => {
      if (name === 'router') {
        const problem = routerProblem(value);
        return problem === null ? [] : [{ ...problem, path: ['router', i] }];
      }
      if (name === 'weightsFile') {
        if (typeof value === 'string' && value !== '') return [];
        const message = `${optionName(name)} takes the path of a file, not ${JSON.stringify(value)}`;
        return [{ path: [name, i], message, help: 'JSON or YAML of names of tensors, each with a list of weights.' }];
      }
      const choices = axisOption(name).choices ?? [];
      if (choices.some((choice) => choice === value)) return [];
      if (name === 'method' && value === 'extrapolate') {
        const message = 'extrapolate has windows of its own, and no place in a grid';
        return [{ path: ['method', i], message, help: 'Write a recipe with it: see docs/recipes.md.' }];
      }
      const near = typeof value === 'string' ? didYouMean(value, choices) : null;
      const help = `It is one of ${choices.join(', ')}.`;
      const message = `${optionName(name)} cannot be ${JSON.stringify(value)}${near === null ? '' : `; did you mean ${near}?`}`;
      return [{ path: [name, i], message, help }];
    }),
  );
}

/** Schedules with parameters that they do not have, that exclude each other or are out of range. */
function scheduleProblems(grid: Grid): Problem[] {
  const parameters = givenParameters(grid);
  const methods = methodsOf(grid);
  const problems: Problem[] = [];
  for (const name of parameters) {
    const owners = takers(name).map((method) => method.name);
    if (grid.method === undefined && owners.length > 1) {
      const message = `${optionName(name)} belongs to ${owners.join(' and ')}: ${optionName('method')} has to say which`;
      problems.push({ path: [name], message, help: `As ${parameterLabel('method')} ${owners[0]}.` });
    }
    if (methods.some((method) => owners.includes(method))) continue;
    const message = `${optionName(name)} has no meaning for ${methods.join(', ')}: it belongs to ${owners.join(', ')}`;
    problems.push({ path: [name], message, help: `Leave it out, or add ${owners[0]} to the methods.` });
  }
  if (problems.length > 0) return problems;
  // Values are wrong one by one, and contradict each other in every schedule that has both.
  return schedulesOf(grid)
    .slice(0, MOST_VALUES)
    .flatMap((schedule) =>
      weightProblems(schedule).map(({ path: [name], message, help }): Problem => {
        const i = axis(grid, String(name)).indexOf(schedule[name as keyof typeof schedule]);
        return { path: i < 0 ? ['method'] : [name!, i], message, ...(help !== undefined && { help }) };
      }),
    );
}

/** What the parts of an output mean together, as a recipe has it. */
function togetherProblems(grid: Grid): Problem[] {
  const axes = TREATMENT_AXES.flatMap((name) => (grid[name] === undefined ? [] : [[name, axis(grid, name)] as const]));
  const outputs = combinations(axes)
    .slice(0, MOST_VALUES)
    .map((treatment, k) => ({ path: String(k), ...treatment }) as RecipeOutput);
  const {
    run,
    windows,
    endpoints,
    strides,
    members,
    memberScores,
    memberMetrics,
    memberGoal,
    controls,
    policies,
    stage,
    stageStarts,
    ...rest
  } = grid;
  const recipe = { ...rest, inputs: [run], outputs };
  return contradictions(recipe as unknown as Parameters<typeof contradictions>[0]).map(({ path, message, help }) => ({
    path: path.slice(path[0] === 'outputs' ? 2 : 0),
    message,
    ...(help !== undefined && { help }),
  }));
}

function policyAxisProblems({ policies }: Grid): Problem[] {
  if (policies === undefined) return [];
  if (typeof policies !== 'object' || policies === null || Array.isArray(policies)) {
    const help = 'As { plain: [], newest-routers: [{ role: routers, use: newest }] }.';
    return [{ path: ['policies'], message: `${optionName('policies')} are sets of policies by their names`, help }];
  }
  return Object.entries(policies).flatMap(([name, set]): Problem[] => {
    const path = ['policies', name];
    if (!POLICIES_NAME.test(name)) {
      const help = 'It becomes part of the names of outputs: letters, digits, and - _ . +.';
      return [{ path, message: `${JSON.stringify(name)} cannot be the name of a set of policies`, help }];
    }
    if (!Array.isArray(set))
      return [{ path, message: `the set of policies ${name} must be a list`, help: 'An empty list treats all tensors as usual.' }];
    const list = set.map((policy): Policy => (typeof policy === 'object' && policy !== null ? policy : {}));
    return [
      ...list.flatMap((policy, i) => policyProblems(policy).map((problem) => ({ ...problem, path: [...path, i, ...problem.path] }))),
      ...sameSelectors(list).map(({ index, message }) => ({ path: [...path, index], message, help: 'Leave one of the two out.' })),
    ];
  });
}
