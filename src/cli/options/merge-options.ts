import type { Command, Option as CommandOption } from 'commander';
import { parseByteRate, parseByteSize } from '../../base/byte-size.ts';
import { MOST } from '../../base/limits.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { parseMetric } from '../../checkpoints/results/metric.ts';
import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import { LAUNCH, MACHINE, type Option, OUTPUT, PUBLICATION, RANKS, RECIPE, SCORED, SELECT, TOKENS, TRUST } from '../../recipe/options.ts';
import { parsePolicy, parseRouterUse } from '../../recipe/policy/parse.ts';
import { METHODS, takersOf } from '../../recipe/schedule/methods.ts';
import {
  CONTROL_PARAMETERS,
  inRange,
  PARAMETERS,
  type ParameterName,
  parameterLabel,
  rangeText,
} from '../../recipe/schedule/parameters.ts';
import type { ScheduleName } from '../../recipe/schedule/types.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { choiceOption, flag, listOption, valueOption } from './options.ts';
import {
  badValue,
  duration,
  parseChoice,
  parseNumber,
  parsePath,
  parseText,
  parseWeights,
  parseWholeNumber,
  type ValueParser,
  wholeNumber,
} from './values.ts';

/**
 * Options of merges by their names in the library; one name is one option, wherever it stands in a recipe.
 */
const TABLE = {
  ...SELECT,
  ...pick(SCORED, ['members', 'scores', 'goal']),
  ...OUTPUT,
  ...RECIPE,
  ...MACHINE,
  ...TRUST,
  ...PUBLICATION,
  ...RANKS,
  ...LAUNCH,
};
type OptionName = keyof typeof TABLE;

/**
 * An option of merges, as the table of options has it. @param own what a command says otherwise
 */
export function mergeOption(name: OptionName, own: Partial<Option> = {}): CommandOption {
  const option: Option = { ...TABLE[name], ...own };
  const flags = `${option.letter === undefined ? '' : `-${option.letter}, `}--${parameterLabel(name)}`;
  const text = helpText(name, option);
  if (option.kind === 'flag') return flag(flags, text);
  if (option.kind === 'choice') return choiceOption(`${flags} <${option.value ?? 'name'}>`, text, option.choices ?? []);
  const [word, parse] = reading(option);
  return valueOption(`${flags} <${option.value ?? word}>`, text, parse);
}

/**
 * An option of which several values may be given, with commas between: an axis of a grid. Its value is a list.
 * @param option as the table of options has it, of one value
 */
export function listedOption(name: string, option: Option): CommandOption {
  const parse: ValueParser<unknown> = option.kind === 'choice' ? parseChoice(option.choices ?? []) : reading(option)[1];
  const flags = `${option.letter === undefined ? '' : `-${option.letter}, `}--${parameterLabel(name)} <list>`;
  return valueOption(flags, helpText(name, option), (text, where) => text.split(',').map((value) => parse(value.trim(), where)));
}

/** The word for an option's value in help, and what reads it. */
function reading(option: Option): [word: string, parse: ValueParser<unknown>] {
  switch (option.kind) {
    case 'path':
    case 'names':
    case 'file':
      return ['path', parsePath];
    case 'count':
      return ['n', wholeNumber(1, option.range?.atMost ?? MOST.count)];
    case 'index':
      return ['n', wholeNumber(0, MOST.count)];
    case 'integer':
      return ['n', numberParser(option)];
    case 'time':
      return ['duration', duration(MOST.timer)];
    case 'number':
      return ['number', numberParser(option)];
    case 'bytes':
    case 'size':
      return ['size', parseByteSize];
    case 'rate':
      return ['rate', parseByteRate];
    case 'point':
      return ['point', parseAmount];
    case 'distance':
    case 'quantity':
      return ['distance', parseAmount];
    case 'steps':
      return ['list', (text, where) => text.split(',').map((part) => parseWholeNumber(part.trim(), where))];
    case 'weights':
      return ['list', parseWeights];
    case 'spike':
      return ['step', (text, where) => (text === 'auto' ? text : parseWholeNumber(text, where))];
    case 'router':
      return ['use', parseRouterUse];
    default:
      return ['text', parseText];
  }
}

/**
 * Where it belongs to some schedules, their names before everything else; choices where nothing else tells
 * them all.
 */
function helpText(name: string, { help, typed, choices, kind, range, default: value }: Option): string {
  const takers = takersOf(name);
  const told = choices === undefined || kind !== 'choice' || choices.every((choice) => `${help} ${value}`.includes(choice));
  const words = told ? typed : choices.join(', ');
  const within = range === undefined ? '' : rangeText(range);
  return [
    takers.length === 0 ? '' : `${takers.join(', ')}: `,
    help,
    words === undefined ? '' : `: ${words}`,
    within === '' ? '' : `, ${within}`,
    value === undefined ? '' : ` (default: ${value})`,
  ].join('');
}

/** A quantity along a run, as it is written. @throws MergeError E_OPTION where it is none */
function parseAmount(text: string, where: string): string {
  parseQuantity(text, where);
  return text;
}

function numberParser({ kind, range = {} }: Option): ValueParser<number> {
  return (text, where) => {
    const value = parseNumber(text);
    const fits = Number.isFinite(value) && (kind !== 'integer' || Number.isSafeInteger(value)) && inRange(value, range);
    const wanted = [kind === 'integer' ? 'a whole number' : 'a number', rangeText(range)];
    if (!fits) throw badValue(where, text, wanted.filter((part) => part !== '').join(' '));
    return value;
  };
}

export function addOptions(command: Command, names: readonly OptionName[]): Command {
  for (const name of names) command.addOption(mergeOption(name));
  return command;
}

/**
 * Options that choose members of a run, for every command that makes merges of one; `sliding` where it may
 * make several, `scored` where scores are none of an evaluator that it starts.
 */
export function addSelectionOptions(command: Command, { sliding = true, preset = true, scored = false } = {}): Command {
  const [last, ...others] = keysOf(SELECT);
  command.optionsGroup('Members, where an input is a run folder:');
  addOptions(command, [last!, ...(sliding ? (['sliding'] as const) : []), ...others]);
  if (scored) {
    addOptions(command, ['members', 'scores']);
    command.addOption(listOption('--metric <name...>', `with --scores: ${SCORED.metrics.help}; may be repeated`, parseMetricText));
    command.addOption(mergeOption('goal', { help: `with --scores: ${SCORED.goal.help}` }));
  }
  return addOptions(command, [...(preset ? (['preset'] as const) : []), 'allowStages', 'allowConfigs']);
}

/** A metric and its weight, as they are written. @throws MergeError E_OPTION where it is none */
function parseMetricText(text: string): string {
  parseMetric(text);
  return text;
}

/** Options that say how many tokens a step has, for runs whose names and state files do not. */
export function addTokenOptions(command: Command): Command {
  return addOptions(command.optionsGroup('Tokens, where neither names nor state files tell:'), keysOf(TOKENS));
}

/**
 * The method and every schedule's parameters, as the schedules' own tables have them.
 * @param without schedules that the command cannot offer, with the parameters that only they take
 */
export function addScheduleOptions(command: Command, without: readonly ScheduleName[] = []): Command {
  const schedules = METHODS.filter(({ name }) => !without.includes(name));
  const offered = new Set<ParameterName>([...CONTROL_PARAMETERS, ...schedules.flatMap(({ parameters }) => parameters)]);
  const methods = schedules.map(({ name, summary }) => `${name}: ${summary}`).join('; ');
  const names = schedules.map((schedule) => schedule.name);
  command.addOption(choiceOption('-m, --method <name>', `${methods} (default: ${OUTPUT.method.default})`, names));
  return addOptions(
    command,
    keysOf(PARAMETERS).filter((name) => offered.has(name)),
  );
}

/**
 * Options that treat some tensors differently. `fixed` where the members are the same in every merge, so that
 * a policy can count them and name one.
 */
export function addPolicyOptions(command: Command, { fixed = true } = {}): Command {
  const example = fixed ? 'weights=0.2,0.8' : 'method=wma';
  command
    .optionsGroup('Tensors that are treated differently:')
    .addOption(
      listOption(
        '--policy <selector:treatment>',
        `as 'role=router:use=newest' or 'name=model.layers.0.*:${example}'; may be repeated, the first that fits a tensor decides`,
        parsePolicy,
      ),
    )
    .addOption(mergeOption('router', { typed: `average, newest${fixed ? ', oldest or a step' : ' or oldest'}` }));
  return addOptions(command, [...(fixed ? (['weightsFile'] as const) : []), 'allowUnknown', 'allowPermuted']);
}

/** Takes the selection out of a command's flags: undefined where none of its options is given. */
export function splitSelection<T extends Selection>(flags: T): { select: Selection | undefined; rest: Omit<T, keyof Selection> } {
  const rest: Partial<T> = { ...flags };
  const select: Record<string, unknown> = {};
  for (const key of keysOf(SELECT)) {
    if (flags[key] !== undefined) select[key] = flags[key];
    delete rest[key];
  }
  return { select: Object.keys(select).length === 0 ? undefined : (select as Selection), rest: rest as Omit<T, keyof Selection> };
}
