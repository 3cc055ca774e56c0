import type { Command, Option } from 'commander';
import { MergeError } from '../../base/errors.ts';
import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import type { QuantityText } from '../../checkpoints/run/types.ts';
import { OUTPUT_DTYPES } from '../../recipe/policy/keys.ts';
import { parsePolicy, parseRouterUse } from '../../recipe/policy/parse.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { choiceOption, flag, listOption, valueOption } from './options.ts';
import { badValue, parsePath, parsePositiveInteger } from './values.ts';

/**
 * Options that choose members of a run, for every command that makes merges of one; `sliding` where it may
 * make several.
 */
export function addSelectionOptions(command: Command, { sliding = true, preset = true } = {}): Command {
  command
    .optionsGroup('Members, where an input is a run folder:')
    .addOption(valueOption('--last <n>', 'the newest so many (default: all that are complete)', parsePositiveInteger));
  if (sliding) command.addOption(flag('--sliding', 'one output for every window of --last; write {step} or {tokens} in OUT'));
  command
    .addOption(
      valueOption('--every <distance>', 'spaced like this, counted back from the newest: 8B, 500M (tokens), 1000steps', parseDistance),
    )
    .addOption(valueOption('--from <point>', 'from this step or token count on: 12000, 500B', parsePoint))
    .addOption(valueOption('--to <point>', 'up to this step or token count', parsePoint))
    .addOption(valueOption('--before <point>', 'before this step or token count', parsePoint))
    .addOption(valueOption('--steps <list>', 'exactly these steps, as 1000,2000', parseSteps))
    .addOption(valueOption('--stage <n>', 'only this stage of a training in several', parseWholeNumber))
    .addOption(
      valueOption('--min-interval <distance>', 'at least this far apart, walking back from the newest: 1000steps, 8B', parseDistance),
    )
    .addOption(valueOption('--min-members <n>', 'fail when fewer are found', parsePositiveInteger))
    .addOption(choiceOption('--each-ingredient <which>', 'one member of each ingredient, seed or run: last', ['last']))
    .addOption(valueOption('--before-spike <step>', 'only from before a loss spike: auto finds it in the log', parseSpike))
    .addOption(valueOption('--margin <distance>', 'how long before the spike (default: one save interval)', parseDistance));
  if (preset)
    command.addOption(choiceOption('--preset <name>', 'pma: number, spacing and method after the PMA paper, by model size', ['pma']));
  return command
    .addOption(flag('--allow-stages', 'accept members of different stages'))
    .addOption(flag('--allow-configs', 'accept members whose config.json differs'));
}

/** Options that say how many tokens a step has, for runs whose names and state files do not. */
export function addTokenOptions(command: Command): Command {
  return command
    .optionsGroup('Tokens, where neither names nor state files tell:')
    .addOption(valueOption('--tokens-per-step <n>', 'tokens of every step, as 4M', parseText))
    .addOption(valueOption('--batch-schedule <list>', 'tokens a step from a step on, as 0:2M,50000:4M', parseText))
    .addOption(valueOption('--tokens-file <path>', 'CSV with the columns step,tokens', parsePath));
}

/** The dtype of what a command makes. @param newest what it is taken from where it is not given */
export function dtypeOption(newest: string): Option {
  return choiceOption(
    '--dtype <name>',
    `store float tensors as ${OUTPUT_DTYPES.slice(0, -1).join(', ')} or ${OUTPUT_DTYPES.at(-1)}; same: each as it is, quantised too (default: as the newest ${newest})`,
    [...OUTPUT_DTYPES, 'same'],
  );
}

/**
 * Options that treat some tensors differently. `fixed` where the members are the same in every merge, so that
 * a policy can count them and name one.
 */
export function addPolicyOptions(command: Command, { fixed = true } = {}): Command {
  const example = fixed ? 'weights=0.2,0.8' : 'method=wma';
  return command
    .optionsGroup('Tensors that are treated differently:')
    .addOption(
      listOption(
        '--policy <selector:treatment>',
        `as 'role=router:use=newest' or 'name=model.layers.0.*:${example}'; may be repeated, the first that fits a tensor decides`,
        parsePolicy,
      ),
    )
    .addOption(
      valueOption(
        '--router <use>',
        `what decides routing, all together: average, newest${fixed ? ', oldest or a step' : ' or oldest'}`,
        parseRouterUse,
      ),
    )
    .addOption(flag('--allow-unknown', 'average tensors of unknown names in a model of which others are known'))
    .addOption(flag('--allow-permuted', 'merge although experts or layers seem to have changed places'));
}

const SELECTION = [
  'last',
  'every',
  'from',
  'to',
  'before',
  'steps',
  'stage',
  'minInterval',
  'minMembers',
  'eachIngredient',
  'beforeSpike',
  'margin',
] as const satisfies readonly (keyof Selection)[];

/** Takes the selection out of a command's flags: undefined where none of its options is given. */
export function splitSelection<T extends Selection>(flags: T): { select: Selection | undefined; rest: Omit<T, keyof Selection> } {
  const rest: Partial<T> = { ...flags };
  const select: Record<string, unknown> = {};
  for (const key of SELECTION) {
    if (flags[key] !== undefined) select[key] = flags[key];
    delete rest[key];
  }
  return { select: Object.keys(select).length === 0 ? undefined : (select as Selection), rest: rest as Omit<T, keyof Selection> };
}

/** A distance along a run. @throws MergeError E_OPTION where it is none */
export function parseDistance(text: string, option: string): QuantityText {
  parseQuantity(text, option);
  return text;
}

export function parsePoint(text: string, option: string): QuantityText {
  return parseDistance(text, option);
}

export function parseSteps(text: string, option: string): readonly number[] {
  return text.split(',').map((part) => parseWholeNumber(part.trim(), option));
}

function parseSpike(text: string, option: string): 'auto' | number {
  return text === 'auto' ? 'auto' : parseWholeNumber(text, option);
}

export function parseWholeNumber(text: string, option: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw badValue(option, text, 'a whole number of at least 0');
  return value;
}

/** Any word but an empty one. */
export function parseText(text: string, option: string): string {
  if (text === '') throw new MergeError('E_OPTION', `${option} is given an empty word`, { help: 'Is a shell variable unset?' });
  return text;
}
