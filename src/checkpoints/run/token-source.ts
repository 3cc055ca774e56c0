import { type Conflict, MergeError, type Warning } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { refuse } from '../../base/problems.ts';
import { lineAndNumber, textLines } from '../../base/store/text-lines.ts';
import { aboutQuantity, parseTokens } from './quantity.ts';
import type { Run, RunCheckpoint, TokenSource } from './types.ts';

/** What an option says: tokens after so many steps, null where it does not reach. */
interface TokenCount {
  readonly name: string;
  readonly at: (step: number) => number | null;
  /** Steps that it reaches, for messages. */
  readonly reach: string;
}

/** Share by which an option may differ from a name or state file without a warning. */
const TOLERANCE = 0.01;

/** Characters of a line or pair that a message shows. */
const SHOWN = 40;
/** Problems of a file after which no more are looked for. */
const MOST_PROBLEMS = 100;

/**
 * Fills in the token counts that names and state files leave open, from one of three options. Where both
 * speak and differ by over 1 % (and by more than the rounding of a name such as `tokens4B`), name or state
 * file wins, with a warning. Steps count from the beginning of their stage, and so do these tokens. A tokens
 * file gives exact counts at its steps, straight lines between them and nothing before its first or after its
 * last.
 *
 * @throws MergeError E_OPTION where more than one option is given, or one cannot be read as what it should be
 *   (all problems of it at once); E_NOT_FOUND, E_NOT_READABLE for a tokens file
 */
export async function withTokens(run: Run, source: TokenSource): Promise<Run> {
  const count = await tokenCount(source);
  if (count === null) return run;
  const checkpoints = run.checkpoints.map((checkpoint): RunCheckpoint => {
    if (checkpoint.tokens !== null || checkpoint.step === null) return checkpoint;
    const tokens = count.at(checkpoint.step);
    return tokens === null ? checkpoint : { ...checkpoint, tokens, tokensFrom: 'option' };
  });
  return { ...run, checkpoints, warnings: [...run.warnings, ...disagreements(run, count), ...unreached(checkpoints, count)] };
}

/** By how much a count may be off because it was rounded when it was made a name; 0 where it was not. */
export function roundingOf({ tokens, tokensFrom }: Pick<RunCheckpoint, 'tokens' | 'tokensFrom'>): number {
  if (tokens === null || tokensFrom !== 'name') return 0;
  return [1e9, 1e6, 1e3].find((unit) => tokens % unit === 0) ?? 0;
}

async function tokenCount({ tokensPerStep, batchSchedule, tokensFile }: TokenSource): Promise<TokenCount | null> {
  const given = Object.entries({ tokensPerStep, batchSchedule, tokensFile });
  const names = given.filter(([, value]) => value !== undefined).map(([name]) => optionName(name));
  if (names.length > 1) {
    throw new MergeError('E_OPTION', `token counts come from one source, and ${names.join(' and ')} are given`, {
      help: `Keep one of them.`,
    });
  }
  if (tokensPerStep !== undefined) {
    const each = positiveTokens(tokensPerStep, optionName('tokensPerStep'));
    return { name: 'tokens-per-step', at: (step) => step * each, reach: 'all steps' };
  }
  if (batchSchedule !== undefined) return { name: 'batch-schedule', at: parseBatchSchedule(batchSchedule), reach: 'all steps' };
  return tokensFile === undefined ? null : readTokensFile(tokensFile);
}

export function positiveTokens(text: string | number, what: string): number {
  const tokens = parseTokens(text, what);
  if (tokens === 0) throw new MergeError('E_OPTION', `${what} takes tokens over 0, not ${text}`);
  return tokens;
}

/**
 * `0:2M,50000:4M` as a function: with pieces (s_i, b_i) and n steps done, Σ b_i · max(0, min(n, s_(i+1)) −
 * s_i).
 * @throws MergeError E_OPTION
 */
function parseBatchSchedule(text: string): (step: number) => number {
  const what = optionName('batchSchedule');
  const pieces = text.split(',').map((part) => {
    const [step = '', tokens = '', ...rest] = part.split(':').map((side) => side.trim());
    if (!/^\d+$/.test(step) || !Number.isSafeInteger(Number(step)) || tokens === '' || rest.length > 0) {
      throw new MergeError(
        'E_OPTION',
        `${what} takes STEP:TOKENS pairs, as 0:2M,50000:4M, and '${shortened(part.trim())}' of '${shortened(text)}' is none`,
      );
    }
    return { from: Number(step), each: positiveTokens(tokens, `${what}, from step ${step} on,`) };
  });
  if (pieces[0]!.from !== 0) throw new MergeError('E_OPTION', `${what} begins at step 0, not at step ${pieces[0]!.from}`);
  const wrong = pieces.findIndex(({ from }, i) => i > 0 && from <= pieces[i - 1]!.from);
  if (wrong > 0) {
    throw new MergeError('E_OPTION', `${what} needs rising steps, and ${pieces[wrong]!.from} follows ${pieces[wrong - 1]!.from}`);
  }
  return (step) =>
    pieces.reduce((sum, { from, each }, i) => sum + each * Math.max(0, Math.min(step, pieces[i + 1]?.from ?? step) - from), 0);
}

async function readTokensFile(path: string): Promise<TokenCount> {
  const rows: { readonly step: number; readonly tokens: number }[] = [];
  const problems: string[] = [];
  for (const [i, { line, text }] of (await textLines(path)).entries()) {
    if (i === 0 && /^step\s*,\s*tokens$/i.test(text)) continue;
    if (problems.length >= MOST_PROBLEMS) break;
    const cells = text.split(',').map((cell) => cell.trim());
    const step = cells.length === 2 && /^\d+$/.test(cells[0]!) ? Number(cells[0]) : Number.NaN;
    const tokens = tokensOrNull(cells[1] ?? '');
    const before = rows.at(-1);
    if (!Number.isSafeInteger(step) || tokens === null) problems.push(`${lineAndNumber(line, text)} is not step,tokens`);
    else if (before !== undefined && step <= before.step) problems.push(`line ${line}: step ${step} follows step ${before.step}`);
    else if (before !== undefined && tokens < before.tokens)
      problems.push(`line ${line}: the token count falls, from ${before.tokens} to ${tokens}`);
    else rows.push({ step, tokens });
  }
  if (rows.length === 0 && problems.length === 0) problems.push('there are no lines of step,tokens');
  refuseFile(path, problems);
  const [first, last] = [rows[0]!, rows.at(-1)!];
  const at = (step: number) => {
    if (step < first.step || step > last.step) return null;
    const next = rows[lowerBound(rows, step)]!;
    if (next.step === step) return next.tokens;
    const before = rows[lowerBound(rows, step) - 1]!;
    return Math.round(before.tokens + ((next.tokens - before.tokens) * (step - before.step)) / (next.step - before.step));
  };
  return { name: `tokens-file ${path}`, at, reach: `steps ${first.step} to ${last.step}` };
}

/** Of a line that is none, messages show the beginning. */
function shortened(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

function tokensOrNull(text: string): number | null {
  try {
    return parseTokens(text, '');
  } catch {
    return null;
  }
}

/** Index of the first row at this step or later. */
function lowerBound(rows: readonly { readonly step: number }[], step: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]!.step < step) low = middle + 1;
    else high = middle;
  }
  return low;
}

function refuseFile(file: string, problems: readonly string[]): void {
  const conflicts = problems.map((message): Conflict => ({ code: 'E_OPTION', message: `${file}: ${message}`, file }));
  const help = 'A tokens file has lines of step,tokens, both rising, as 1000,4B.';
  refuse(conflicts, { several: (count) => `${file} has ${count} problems`, help });
}

function disagreements(run: Run, { name, at }: TokenCount): Warning[] {
  const wrong = run.checkpoints.flatMap((checkpoint) => {
    const { tokens, step } = checkpoint;
    const said = tokens === null || step === null ? null : at(step);
    const apart = said === null ? 0 : Math.abs(said - tokens!);
    return said !== null && apart > Math.max(TOLERANCE * tokens!, roundingOf(checkpoint)) ? [{ ...checkpoint, said }] : [];
  });
  if (wrong.length === 0) return [];
  const { said, step, tokens, tokensFrom } = wrong.at(-1)!;
  const [known, option] = [tokens!, said].map((value) => aboutQuantity({ value, unit: 'tokens' }));
  const others = wrong.length === 1 ? '' : `, and so for ${wrong.length - 1} more`;
  const from = tokensFrom === 'name' ? 'its name' : 'its state file';
  return [{ code: 'W_TOKENS', message: `${name} says ${option} at step ${step}, and ${from} ${known}${others}; ${from} is believed` }];
}

function unreached(checkpoints: readonly RunCheckpoint[], { name, reach }: TokenCount): Warning[] {
  const unknown = checkpoints.filter(({ tokens }) => tokens === null);
  if (unknown.length === 0) return [];
  const some = unknown.slice(0, 3).map((checkpoint) => checkpoint.name);
  const list = unknown.length > 3 ? `${some.join(', ')} …` : some.join(', ');
  const message = `${name} covers ${reach} and leaves ${unknown.length} of ${checkpoints.length} checkpoints without a token count (${list})`;
  return [{ code: 'W_TOKENS', message }];
}
