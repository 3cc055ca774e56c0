import { MergeError } from '../../base/errors.ts';
import { MOST } from '../../base/limits.ts';
import { notHere } from '../../base/not-here.ts';
import { listItems, parseRange } from '../../recipe/policy/selector.ts';

/**
 * Turns the text of an option into its value. @throws MergeError E_OPTION or E_WEIGHTS that names the option.
 */
export type ValueParser<T> = (text: string, option: string) => T;

const NUMBER = /^[+-]?(\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

/** A decimal number as people write it; NaN for everything else, `Infinity` and `0x10` too. */
export function parseNumber(text: string): number {
  return NUMBER.test(text) ? Number(text) : Number.NaN;
}

/** A whole number, both ends included. */
export function wholeNumber(least: number, most: number): ValueParser<number> {
  return (text, option) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) throw badValue(option, text, `a whole number from ${least} to ${most}`);
    return value;
  };
}

/** Of things that are counted: at least 1. */
export const parsePositiveInteger = wholeNumber(1, MOST.count);

/** A step or a seed, at least 0. */
export const parseWholeNumber = wholeNumber(0, MOST.whole);

const UNITS_OF_TIME: Readonly<Record<string, number>> = { '': 1, s: 1, m: 60, min: 60, h: 3600, d: 86_400 };

/** `90`, `90s`, `30m`, `1.5h`, `2d`: seconds, over 0. @param most seconds */
export function duration(most: number): ValueParser<number> {
  return (text, option) => {
    const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text);
    const unit = UNITS_OF_TIME[(match?.[2] ?? '?').toLowerCase()];
    const seconds = match !== null && unit !== undefined ? Number(match[1]) * unit : 0;
    if (!(seconds > 0 && seconds <= most)) {
      throw badValue(option, text, `a duration of at most ${Math.floor(most / 86_400)}d`, 'Write seconds (90), or 90s, 30m, 6h, 2d.');
    }
    return seconds;
  };
}

/** Any word but an empty one. */
export function parseText(text: string, option: string): string {
  if (text === '') throw new MergeError('E_OPTION', `${option} is given an empty word`, { help: 'Is a shell variable unset?' });
  return text;
}

/** A number from 0 to 1, both included. */
export function parseFraction(text: string, option: string): number {
  const value = parseNumber(text);
  if (!(value >= 0 && value <= 1)) throw badValue(option, text, 'a number from 0 to 1');
  return value;
}

/**
 * A path as it is. A word that starts with a dash is refused: it is an option whose neighbour was forgotten.
 */
export function parsePath(text: string, option: string): string {
  if (text === '') throw new MergeError('E_OPTION', `${option} is given an empty path`, { help: 'Is a shell variable unset?' });
  if (text.startsWith('-')) {
    throw new MergeError('E_USAGE', `${option} needs a path, but '${text}' follows it`, {
      help: `For a path that really starts with a dash write ./${text}`,
    });
  }
  const url = notHere(text);
  if (url !== null) throw new MergeError('E_OPTION', `${option} ${text}: ${url.problem}`, { help: 'Name a path of this machine.' });
  return text;
}

/** One of a list of words, whatever its case. */
export function parseChoice<const T extends string>(choices: readonly T[]): ValueParser<T> {
  return (text, option) => {
    const found = choices.find((choice) => choice.toLowerCase() === text.toLowerCase());
    if (found === undefined) throw badValue(option, text, `one of ${choices.join(', ')}`);
    return found;
  };
}

/** `0.2,0.3,0.5`, negative and scientific numbers too. */
export function parseWeights(text: string, option: string): readonly number[] {
  return text.split(',').map((part) => parseWeight(part.trim(), option));
}

/** One weight: decimal or scientific, any sign, finite. */
export function parseWeight(text: string, where: string): number {
  const value = parseNumber(text);
  if (!Number.isFinite(value)) {
    throw new MergeError('E_WEIGHTS', `${where}: '${text}' is not a finite number`, {
      help: 'Write weights as 0.25, -0.5 or 1e-3, one for each input, separated by commas.',
    });
  }
  return value;
}

/** The error for a value that an option does not take; `wanted` says what it takes. */
export function badValue(option: string, text: string, wanted: string, help?: string): MergeError {
  return new MergeError('E_OPTION', `${option} takes ${wanted}, not '${text}'`, help === undefined ? {} : { help });
}

/** Layers as policies name them: `0-3,12,-1`, both ends included, negative ones counted from the end. */
export function parseLayers(text: string, option: string): readonly { readonly from: number; readonly to: number }[] {
  return listItems(text).map((item) => {
    const range = parseRange(item);
    if (range === null) throw badValue(option, text, 'layers as 0-3,12, or -1 for the last');
    return { from: range[0], to: range[1] };
  });
}
