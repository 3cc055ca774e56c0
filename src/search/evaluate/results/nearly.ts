import { isJsonObject, pythonJsonOrNone } from '../../../base/json/parse.ts';
import { worded } from '../../../base/option-words.ts';
import { shellQuote } from '../../../base/process/shell-quote.ts';

const DIGITS = String.raw`[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?`;
/** Of what was printed last, lines among which the one that was meant is looked for. */
const LOOKED_AT = 20;
const SHOWN_CHARACTERS = 120;
/** No number that somebody prints for a score stands in a longer line. */
const LONGEST = 2000;

/**
 * What a program meant for its score, as a line in another form: how Python shows a number of numpy, torch
 * and the like, or a dictionary. What stands before it is something else.
 */
const MEANT: readonly (readonly [form: RegExp, instead: string])[] = [
  [
    new RegExp(
      `^(?:\\w+\\.)*(?:float\\d*|u?int\\d+|longdouble|half|double|bfloat16|tensor|array|DeviceArray|Decimal)\\(\\s*['"]?(?:${DIGITS}|nan|[+-]?inf)['"]?\\s*(?:,.*)?\\)$`,
      'i',
    ),
    'print(float(x))',
  ],
  [/^<tf\.(?:Tensor|Variable)\b.*\bnumpy=[^,]+>$/, 'print(float(x))'],
  [
    /^\{\s*["'](?:score|scores|metrics)["']\s*:\s*[\w.]+\(.*\}$/,
    'no JSON, of a number that is not plain: print(json.dumps({"score": float(x)}))',
  ],
  [/^\{.*'(score|scores|metrics)'\s*:.*\}$/, 'a dictionary of Python and no JSON: print(json.dumps(x))'],
];

/** What looks like a number and may be meant in more ways than one. */
const NEARLY: readonly (readonly [form: RegExp, instead: string])[] = [
  [new RegExp(`^${DIGITS}\\s*%$`, 'i'), 'a percentage, or a fraction of one: print the number alone'],
  [/^[+-]?\d{1,3}(?:[,'_ ]\d{3})+(?:\.\d+)?$/, 'print it without separators of thousands'],
  [/^[+-]?\d+,\d+$/, 'print it with a point'],
  [new RegExp(`^[\u2212\u2013\u2014]\\s*${DIGITS}$`, 'i'), 'print it with the minus sign of ASCII (-)'],
  [new RegExp(`^(['"\`])\\s*${DIGITS}\\s*\\1$`, 'i'), 'print it without quotes'],
  [new RegExp(`^[[(]\\s*${DIGITS}\\s*,?\\s*[\\])]$`, 'i'), 'a list of one: print the number alone'],
];

const LABELLED = new RegExp(`^(\\S.*?[:=\\s])\\s*${DIGITS}\\s*(?:%|\\+/-.*|±.*)?$`, 'i');

const FOLLOWED = new RegExp(`^${DIGITS}[\\s,;]+(\\S.*)$`, 'i');

/** Of what was printed last, lines that JSON over several of them may have. */
const JSON_LINES = 200;

/** JSON over several lines that ends with the last of some lines, as one line; null where there is none. */
function jsonAtEnd(lines: readonly string[]): string | null {
  const end = lines.findLastIndex((line) => line.endsWith('}'));
  const block = lines.slice(Math.max(0, end + 1 - JSON_LINES), end + 1);
  for (const [i, line] of block.entries()) {
    if (!line.startsWith('{')) continue;
    const text = block.slice(i).join(' ');
    if (isJsonObject(pythonJsonOrNone(text))) return text;
  }
  return null;
}

/** What to print instead of JSON whose numbers have names of their own; null for any other line. */
function jsonOfNumbers(line: string): string | null {
  const json = line.startsWith('{') ? pythonJsonOrNone(line) : undefined;
  if (!isJsonObject(json)) return null;
  const [name, value] = Object.entries(json).find(([, of]) => Number.isFinite(of)) ?? [];
  if (name === undefined) return null;
  const named = JSON.stringify({ metrics: { [name]: value } });
  return worded`the line ${quoted(line)} is JSON without "score" or "metrics": print ${JSON.stringify({ score: value })}, or ${named} with --metric ${shellQuote(name)}`;
}

/**
 * Why a line is no score although it is meant for one, and what to print instead; null for any other line.
 */
export function meantForScore(line: string): string | null {
  return said(line, MEANT);
}

/** The line of an output that is nearly a score, and what to do about it; null where there is none. */
export function nearlyScore(stdout: string): string | null {
  const printed = stdout
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && line.length <= LONGEST && !line.startsWith('MERGE_COST='));
  const lines = printed.slice(-LOOKED_AT);
  const found = lines.map((line) => said(line, [...MEANT, ...NEARLY])).findLast((text) => text !== null);
  if (found !== undefined && found !== null) return found;
  const last = lines.at(-1) ?? '';
  const json = [jsonAtEnd(printed) ?? '', ...lines].map(jsonOfNumbers).findLast((text) => text !== null);
  if (json !== undefined && json !== null) return json;
  const after = FOLLOWED.exec(last)?.[1];
  if (after !== undefined) {
    const model = after.startsWith('/') ? ' (a command that does not name {model} is given its path as the last word)' : '';
    return `the last line of stdout is ${quoted(last)}: print the number alone, without what follows it${model}`;
  }
  const label = LABELLED.exec(last)?.[1];
  if (label === undefined) return null;
  const regex = `^${label.trimEnd().split(' ').map(wordOfAny).join(' ')}\\s*([-+0-9.e]+)`;
  return worded`the last line of stdout is ${quoted(last)}: print the number alone, or read it with --metric-regex ${shellQuote(regex)}`;
}

/**
 * A word before a score as an expression that fits that of other trials: a path or a number is another one
 * there.
 */
function wordOfAny(word: string): string {
  if (word.includes('/')) return '\\S+';
  return word.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replace(/\d+/g, '\\d+');
}

function said(line: string, forms: typeof MEANT): string | null {
  if (line.length > LONGEST) return null;
  const instead = forms.find(([form]) => form.test(line))?.[1];
  return instead === undefined ? null : `the line ${quoted(line)} is nearly a score: ${instead}`;
}

function quoted(line: string): string {
  return `'${line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}…` : line}'`;
}
