import { MergeError } from '../../base/errors.ts';
import type { Quantity, QuantityText } from './types.ts';

const SCALES = { K: 1e3, M: 1e6, B: 1e9, T: 1e12 } as const;

/** Scales that make a bare number one of tokens. Thousands do not: in `12k` most people mean steps. */
const TOKEN_SCALES = ['T', 'B', 'M'] as const;

const AMOUNT =
  /^(?<digits>\d+(?:_\d+)*(?:\.\d+)?(?:e[+-]?\d+)?)\s*(?<scale>[kmbt]?)\s*(?<unit>t|tok|tokens?|steps?|ckpts?|checkpoints?|)$/i;

/** Characters of an amount; of what is longer, a message shows so many. */
const LONGEST = 80;

/** A quantity whose text may leave its unit open. */
interface Amount {
  readonly value: number;
  readonly unit: Quantity['unit'] | null;
  readonly scaled: boolean;
}

/**
 * An amount of training as users write it: `8B`, `1.5T`, `500M`, `2BT`, `4096 tokens` are tokens, `1000`,
 * `1_000`, `1000steps`, `2k steps` are steps, `3ckpt` is checkpoints. Upper and lower case are alike. 0 is an
 * amount: whoever needs a distance asks {@link parseDistance}.
 *
 * @param what the option or entry, for the message: `--every`
 * @throws MergeError E_OPTION for anything else: negative numbers, NaN, unknown units, half a step, `12k`
 *   without a unit
 */
export function parseQuantity(text: QuantityText, what: string): Quantity {
  const amount = parseAmount(text);
  if (amount === null) {
    throw new MergeError(
      'E_OPTION',
      `${what} takes tokens (8B, 500M, 1.5T), steps (1000, 1000steps) or checkpoints (3ckpt), not '${shown(text)}'`,
    );
  }
  if (amount.unit === null && amount.scaled && String(text).trim().toUpperCase().endsWith('K')) {
    throw new MergeError('E_OPTION', `${what}: ${text} may be steps or tokens`, { help: `Write ${text}steps or ${text}tokens.` });
  }
  return { value: amount.value, unit: amount.unit ?? (amount.scaled ? 'tokens' : 'steps') };
}

/**
 * A {@link parseQuantity} over 0.
 * @throws MergeError E_OPTION
 */
export function parseDistance(text: QuantityText, what: string): Quantity {
  const quantity = parseQuantity(text, what);
  if (quantity.value === 0) throw new MergeError('E_OPTION', `${what} takes a distance over 0, not ${text}`);
  return quantity;
}

/**
 * A count of tokens, as `4M`, `512K` or `4194304`: here a bare number is tokens.
 * @throws MergeError E_OPTION where it is none, or is in another unit
 */
export function parseTokens(text: string | number, what: string): number {
  const amount = parseAmount(text);
  if (amount === null || (amount.unit ?? 'tokens') !== 'tokens') {
    throw new MergeError('E_OPTION', `${what} takes tokens (4M, 512K, 4194304), not '${shown(text)}'`);
  }
  return amount.value;
}

function parseAmount(text: string | number): Amount | null {
  if (String(text).length > LONGEST) return null;
  const { digits, scale, unit } = AMOUNT.exec(String(text).trim())?.groups ?? {};
  if (digits === undefined) return null;
  const size = SCALES[scale!.toUpperCase() as keyof typeof SCALES] ?? 1;
  const exact = Number(digits.replaceAll('_', '')) * size;
  // 0.067 times a billion is not quite whole in binary, and was meant to be; nobody means half a step.
  const value = size > 1 ? Math.round(exact) : exact;
  if (!Number.isSafeInteger(value)) return null;
  return { value, unit: unitOf(unit!.toLowerCase()), scaled: size > 1 };
}

function shown(text: string | number): string {
  const whole = String(text);
  return whole.length > LONGEST ? `${whole.slice(0, LONGEST)}…` : whole;
}

function unitOf(word: string): Quantity['unit'] | null {
  if (word === '') return null;
  return word.startsWith('t') ? 'tokens' : word.startsWith('s') ? 'steps' : 'checkpoints';
}

/**
 * As short as it can be written without loss: {@link parseQuantity} of it is the same quantity. `8B`, `1.5T`,
 * `4096tokens`, `1000steps`, `3ckpt`.
 */
export function formatQuantity({ value, unit }: Quantity): string {
  if (unit === 'checkpoints') return `${value}ckpt`;
  if (unit === 'steps') return `${value}steps`;
  const scale = TOKEN_SCALES.find((name) => value >= SCALES[name] && Math.round((value / SCALES[name]) * SCALES[name]) === value);
  return scale === undefined ? `${value}tokens` : `${value / SCALES[scale]}${scale}`;
}

/** For sentences, four digits of it: `2.098T tokens`, `200 steps`, `1 checkpoint`. */
export function aboutQuantity({ value, unit }: Quantity): string {
  const scale = unit === 'tokens' ? TOKEN_SCALES.find((name) => value >= SCALES[name]) : undefined;
  if (scale !== undefined) return `${Number((value / SCALES[scale]).toPrecision(4))}${scale} tokens`;
  const count = Number(value.toFixed(1));
  return `${count} ${count === 1 ? unit.slice(0, -1) : unit}`;
}
