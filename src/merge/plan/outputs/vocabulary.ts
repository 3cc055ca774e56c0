import { createHash } from 'node:crypto';
import { isJsonObject, pythonJsonOrNone } from '../../../base/json/parse.ts';
import { readExactly } from '../../../base/store/store.ts';
import { type FoundFile, openFound } from '../../../checkpoints/link-ground.ts';
import { printable } from '../../../render/format.ts';

/** Files that hold the tokens, the one that libraries take first. */
const VOCABULARY = [
  /^tokenizer\.json$/,
  /^vocab\.json$/,
  /^tekken\.json$/,
  /^(tokenizer|spiece|sentencepiece[^/]*)\.model(\.v\d+)?$/,
  /^vocab\.txt$/,
  /\.tiktoken$/,
];
/** What completes the others; tokenizer.json has all in it. */
const COMPLETING = ['added_tokens.json', 'merges.txt'];
/** Those that number the same tokens in the same way. */
const ALIKE = ['tokenizer.json', 'vocab.json'];

/** A vocabulary of more bytes is not parsed; the largest have 35 million. */
const PARSED = 2 ** 27;

/** What a checkpoint has for a tokenizer, by name. */
export type Files = ReadonlyMap<string, FoundFile>;

/** What is known of a tokenizer. */
export interface Vocabulary {
  /** By the row of the embedding that stands for it. */
  readonly tokens: ReadonlyMap<number, string>;
  /** Digest of the merges, by whose order text is cut; null where there are none to be seen. */
  readonly merges: string | null;
  /** Digest of a file of which the tokens are not read; null where they are. */
  readonly content: string | null;
}

/** The place of a file of tokens among those that a library looks for; -1 for others. */
export function rankOf(name: string): number {
  return name.includes('/') ? -1 : VOCABULARY.findIndex((pattern) => pattern.test(name));
}

/** Whether a file is one of tokens, or completes one. */
export const isOfVocabulary = (name: string): boolean => rankOf(name) !== -1 || COMPLETING.includes(name);

/**
 * By which files the tokenizers of two checkpoints can be compared: of one name, or that number tokens alike.
 */
export function comparable(newest: Files, other: Files): readonly [newest: string, other: string] | null {
  const [names, theirs] = [newest, other].map((files) =>
    [...files.keys()].filter((name) => rankOf(name) !== -1).sort((a, b) => rankOf(a) - rankOf(b)),
  );
  const same = names!.find((name) => other.has(name));
  if (same !== undefined) return [same, same];
  const [mine, its] = [names!, theirs!].map((all) => all.find((name) => ALIKE.includes(name)));
  return mine === undefined || its === undefined ? null : [mine, its];
}

/** The files that say what a file of tokens holds: itself, and those that complete it. */
export function partsOf(files: Files, name: string): FoundFile[] {
  const completing = name === 'tokenizer.json' ? [] : COMPLETING;
  return [name, ...completing].flatMap((one) => files.get(one) ?? []);
}

/** Null where a file is no JSON text though its name says so, or is too long to look. */
export async function vocabularyOf(files: Files, name: string): Promise<Vocabulary | null> {
  const texts = await Promise.all(partsOf(files, name).map(async (file) => [file, await textOf(file)] as const));
  const tokens = new Map<number, string>();
  let [merges, content]: [string | null, string | null] = [null, null];
  for (const [{ path }, text] of texts) {
    if (text === null) return null;
    const own = path.endsWith('/added_tokens.json') ? 'added_tokens.json' : path.endsWith('/merges.txt') ? 'merges.txt' : name;
    if (own === 'merges.txt') merges = digest(text.split('\n').filter((line) => line !== '' && !line.startsWith('#version')));
    else if (own.endsWith('.json')) {
      const value = pythonJsonOrNone(text);
      if (value === undefined) return null;
      const before = tokens.size;
      const found = isJsonObject(value) ? addTokens(tokens, own, value) : null;
      merges ??= found;
      if (tokens.size === before && own === name) content = digest([JSON.stringify(value)]);
    } else if (own === 'vocab.txt')
      for (const [row, line] of text.replace(/\n$/, '').split('\n').entries()) tokens.set(row, line.replace(/\r$/, ''));
    else if (own.endsWith('.tiktoken')) addRanks(tokens, text);
    else content = digest([text]);
  }
  return { tokens, merges, content };
}

/** Adds what a JSON file says of tokens. @returns the digest of its merges */
function addTokens(tokens: Map<number, string>, name: string, value: Readonly<Record<string, unknown>>): string | null {
  const add = (id: unknown, token: unknown) => typeof id === 'number' && typeof token === 'string' && tokens.set(id, token);
  if (name === 'tekken.json') {
    const { config, vocab, special_tokens: special } = value;
    const first = isJsonObject(config) && typeof config.default_num_special_tokens === 'number' ? config.default_num_special_tokens : 0;
    if (Array.isArray(special)) for (const one of special) if (isJsonObject(one)) add(one.rank, one.token_str);
    if (Array.isArray(vocab)) for (const one of vocab) if (isJsonObject(one)) add(first + Number(one.rank), one.token_bytes);
    return null;
  }
  const { model, added_tokens: added } = value;
  const fast = name === 'tokenizer.json';
  const vocabulary = !fast ? value : isJsonObject(model) ? model.vocab : null;
  // By token, or (Unigram) pairs of a token and its score in their order.
  if (Array.isArray(vocabulary)) for (const [id, pair] of vocabulary.entries()) add(id, Array.isArray(pair) ? pair[0] : null);
  else if (isJsonObject(vocabulary)) for (const [token, id] of Object.entries(vocabulary)) add(id, token);
  if (fast && Array.isArray(added)) for (const one of added) if (isJsonObject(one)) add(one.id, one.content);
  const merges = fast && isJsonObject(model) ? model.merges : null;
  return Array.isArray(merges) ? digest(merges.map((pair) => (Array.isArray(pair) ? pair.join(' ') : String(pair)))) : null;
}

/** Lines of a token in base64 and its number. */
function addRanks(tokens: Map<number, string>, text: string): void {
  for (const line of text.split('\n')) {
    const [token, rank] = line.split(' ');
    if (rank !== undefined) tokens.set(Number(rank), token!);
  }
}

/**
 * In what the newest member's tokenizer differs from another's, and what that means; null where it does not,
 * or is only longer: then no row stands for two tokens.
 */
export function tokensDiffer(newest: Vocabulary, other: Vocabulary): string | null {
  for (const [id, token] of newest.tokens) {
    const there = other.tokens.get(id);
    if (there === undefined || there === token) continue;
    return `token ${id} is ${shown(token)} in the newest and ${shown(there)} in the other; the merge gets the newest one, and rows of the embedding that stand for different tokens are averaged: take members with one tokenizer, unless the difference is meant`;
  }
  if (newest.content !== null && other.content !== null && newest.content !== other.content)
    return 'their content is another; the merge gets the newest one, and where their tokens differ, rows of the embedding that stand for different ones are averaged: compare them, and take members with one tokenizer';
  if (newest.merges !== null && other.merges !== null && newest.merges !== other.merges)
    return 'their merges are others, or in another order; the merge gets the newest one, which cuts text into other tokens than the other did: take members with one tokenizer, unless the difference is meant';
  return null;
}

/** Whether a file of JSON can be read as that; true of one that is too long to look. */
export async function isJsonText(file: FoundFile): Promise<boolean> {
  const text = await textOf(file);
  return text === null || pythonJsonOrNone(text) !== undefined;
}

/** Null where it is too long. */
async function textOf(found: FoundFile): Promise<string | null> {
  if (found.size > PARSED) return null;
  const file = await openFound(found);
  try {
    const bytes = Buffer.allocUnsafe(found.size);
    await readExactly(file, bytes, 0);
    return bytes.toString(/\.(json|txt)$/.test(found.path) ? 'utf8' : 'latin1');
  } finally {
    await file.close();
  }
}

function digest(lines: readonly string[]): string {
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

function shown(token: string): string {
  const text = JSON.stringify(printable(token));
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
