import { Option } from 'commander';
import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { duration, parseChoice, type ValueParser } from './values.ts';

/**
 * An option with a value. Given twice it is refused rather than the last one winning in silence. A
 * placeholder `<path>` also tells the completion scripts what to offer.
 */
export function valueOption<T>(flags: string, description: string, parse: ValueParser<T>): Option {
  const option = new Option(flags, description);
  const name = option.long ?? flags;
  return option.argParser((text: string, previous: T | undefined) => {
    if (previous !== undefined) throw new MergeError('E_USAGE', `${name} is given twice`, { help: 'Keep one of the two.' });
    refuseEqualsSign(option, text);
    return parse(text, name);
  });
}

/**
 * `-w=1,2` is option -w with the value `=1,2`, which nobody means.
 * @throws MergeError E_USAGE that says how it is written
 */
function refuseEqualsSign({ short, long }: Option, text: string): void {
  if (short === undefined || !text.startsWith('=')) return;
  const value = text.slice(1);
  throw new MergeError('E_USAGE', `${short} takes its value without an equals sign, and was given '${text}'`, {
    help: `Write ${short} ${value}, or ${long}=${value}.`,
  });
}

const LISTS = new WeakSet<Option>();

/** Whether an option is one of `listOption`: an interface of another language gives it once for each value. */
export function isListOption(option: Option): boolean {
  return LISTS.has(option);
}

/** An option with several values, behind it or by repeating it; its value is the list. */
export function listOption<T>(flags: string, description: string, parse: ValueParser<T>): Option {
  const option = new Option(flags, description);
  LISTS.add(option);
  return option.argParser((text: string, previous: readonly T[] | undefined) => [...(previous ?? []), parse(text, option.long ?? flags)]);
}

/** An option that takes one of a few words; completion offers them. */
export function choiceOption<const T extends string>(flags: string, description: string, choices: readonly T[]): Option {
  const option = valueOption(flags, description, parseChoice(choices));
  option.argChoices = [...choices];
  return option;
}

export function flag(flags: string, description: string): Option {
  return new Option(flags, description);
}

const PROGRESS_MODES = ['auto', 'tty', 'lines', 'json', 'none'] as const;

/** Options that many commands have in common. */
export const json = () => flag('--json', 'print one JSON document, also for errors');
/** @param what is ended */
export const timeoutOption = (what: string) =>
  valueOption('--timeout <duration>', `end ${what} that takes longer: 90s, 30m, 6h (default: never)`, duration(MOST.timer));
export const debug = () => flag('--debug', 'show the stack of an error');
export const progress = () => choiceOption('--progress <mode>', `on stderr: ${PROGRESS_MODES.join(', ')} (default: auto)`, PROGRESS_MODES);
