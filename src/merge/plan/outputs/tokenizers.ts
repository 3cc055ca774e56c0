import { createHash } from 'node:crypto';
import { basename } from 'node:path';
import type { Conflict, Warning } from '../../../base/errors.ts';
import { isJsonObject, pythonJsonOrNone } from '../../../base/json/parse.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { readExactly, storeOf } from '../../../base/store/store.ts';
import { type FoundFile, openFound } from '../../../checkpoints/link-ground.ts';
import { findSideFile, groundOf, type SideFile, type SideFileOptions } from '../../../checkpoints/side-files.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { plural, printable } from '../../../render/format.ts';
import type { DraftOutput } from '../inputs/drafts.ts';
import type { FilesBeside } from './beside.ts';

/** Files that hold the tokens, the one that libraries take first. */
const VOCABULARY = [
  /^tokenizer\.json$/,
  /^vocab\.json$/,
  /^tekken\.json$/,
  /^(tokenizer|spiece|sentencepiece[^/]*)\.model$/,
  /^vocab\.txt$/,
  /\.tiktoken$/,
];
/** And those beside them. */
const BESIDE = /^(tokenizer_config|special_tokens_map|added_tokens)\.json$|^merges\.txt$/;

/** Members whose tokenizers are looked at, at a time. */
const AT_ONCE = 8;
/** Bytes of a file's beginning and end that say whether it is whole, and of a block that is compared. */
const BLOCK = 4096;
/** Blocks that are compared of a file that is too long to be compared as a whole. */
const BLOCKS = 32;
const WHOLE = 2 ** 20;
/** A vocabulary of more is not parsed; the largest have 35 million. */
const PARSED = 2 ** 27;
/** Different tokenizers among the members that are parsed. */
const DIFFERENT = 3;

/** A vocabulary: tokens by their number, or whatever else a file holds. */
type Vocabulary = ReadonlyMap<number, string> | string;

/** What a checkpoint has for a tokenizer, by name. */
type Found = ReadonlyMap<string, FoundFile>;

/**
 * What there is to say of the tokenizers that outputs get, which are those of their newest members: whether they are
 * damaged, whether an older member has one where the newest has none, and whether the members' tokens are others, so
 * that rows of the embedding are averaged that stand for different ones. Files are compared by their size and by
 * samples; only what differs in these is parsed. What each member has is looked at once for all outputs.
 */
export class Tokenizers {
  readonly #options: Pick<SideFileOptions, 'followLinks'>;
  readonly #found = new Map<Checkpoint, Promise<Found>>();
  readonly #samples = new Map<string, Promise<string>>();

  constructor(options: Pick<SideFileOptions, 'followLinks'>) {
    this.#options = options;
  }

  /**
   * @param draft an output, its members oldest first
   * @param beside what it gets beside its tensors
   * @throws MergeError E_INPUT_CHANGED, E_NOT_READABLE, E_IO of a file that is to be copied
   */
  async check(
    { kind, own: members }: Pick<DraftOutput, 'kind' | 'own'>,
    { sideFiles, left }: Pick<FilesBeside, 'sideFiles' | 'left'>,
  ): Promise<{ readonly warnings: readonly Warning[]; readonly conflicts: readonly Conflict[] }> {
    const newest = members.at(-1)!;
    if (kind === 'file' || newest.kind === 'file') return { warnings: [], conflicts: [] };
    const own = sideFiles.filter(({ name }) => BESIDE.test(name) || rankOf(name) !== -1);
    const conflicts = (await Promise.all(own.map(damageOf))).flat();
    const older = members.slice(0, -1).filter((member) => member !== newest && member.kind === 'folder');
    const found = await mapBounded(older, AT_ONCE, (member) => this.#of(member));
    const vocabularies = new Map(own.filter(({ name }) => rankOf(name) !== -1).map((file) => [file.name, file]));
    if (vocabularies.size > 0)
      return { warnings: conflicts.length > 0 ? [] : await this.#differences(vocabularies, newest, older, found), conflicts };
    // What is left behind is said where it is left.
    const last = left.some(({ name }) => rankOf(name) !== -1) ? -1 : found.findLastIndex((files) => files.size > 0);
    if (last === -1) return { warnings: [], conflicts };
    const names = [...found[last]!.keys()].join(', ');
    const message = `${newest.path} has no tokenizer, which ${older[last]!.path} has (${names}), so the merge has none either: it is taken from the newest member only; copy it into the output where it is the same`;
    return { warnings: [{ code: 'W_TOKENIZER', message }], conflicts };
  }

  #of(member: Checkpoint): Promise<Found> {
    let found = this.#found.get(member);
    if (found === undefined) {
      found = this.#look(member);
      this.#found.set(member, found);
    }
    return found;
  }

  /** What cannot be had of a member that gives no tokenizer is nobody's loss. */
  async #look({ path }: Checkpoint): Promise<Found> {
    const entries =
      (await storeOf(path)
        .list(path)
        .catch(() => null)) ?? [];
    const names = entries.map(({ name }) => name).filter((name) => rankOf(name) !== -1);
    if (names.length === 0) return new Map();
    const ground = await groundOf(path, this.#options.followLinks ?? false);
    const files = await Promise.all(names.sort().map((name) => findSideFile(path, name, ground).catch(() => null)));
    return new Map(files.flatMap((file) => (file === null || 'reason' in file ? [] : [[file.name, file]])));
  }

  async #differences(
    own: ReadonlyMap<string, SideFile>,
    newest: Checkpoint,
    older: readonly Checkpoint[],
    found: readonly Found[],
  ): Promise<Warning[]> {
    const names = [...own.keys()].sort((a, b) => rankOf(a) - rankOf(b));
    /** Members by what they have for the newest one's file, from the newest on. */
    const others = new Map<string, { readonly file: FoundFile; readonly mine: SideFile; readonly members: Checkpoint[] }>();
    for (let i = older.length - 1; i >= 0; i--) {
      const name = names.find((one) => found[i]!.has(one));
      if (name === undefined) continue;
      const [mine, file] = [own.get(name)!, found[i]!.get(name)!];
      const [sample, other] = await Promise.all([this.#sample(mine), this.#sample(file).catch(() => null)]);
      if (other === null || other === sample) continue;
      const known = others.get(`${name} ${other}`);
      if (known === undefined) others.set(`${name} ${other}`, { file, mine, members: [older[i]!] });
      else known.members.push(older[i]!);
    }
    for (const { file, mine, members } of [...others.values()].slice(0, DIFFERENT)) {
      const [a, b] = [await vocabularyOf(mine), await vocabularyOf(file).catch(() => null)];
      const what = a === null || b === null ? null : difference(a, b);
      if (what === null) continue;
      const more = members.length > 1 ? ` and of ${plural(members.length - 1, 'more member')}` : '';
      const message =
        `${mine.name} of ${newest.path} and of ${members[0]!.path}${more} differ: ${what}; the merge gets the newest one, and rows of the embedding that stand for ` +
        'different tokens are averaged: take members with one tokenizer, unless the difference is meant';
      return [{ code: 'W_TOKENIZER', message }];
    }
    return [];
  }

  /** Equal for files that are equal where they are looked at. Links of a run often lead to one file. */
  #sample(file: FoundFile): Promise<string> {
    const key = `${file.real} ${file.version}`;
    let sample = this.#samples.get(key);
    if (sample === undefined) {
      sample = sampleOf(file);
      this.#samples.set(key, sample);
    }
    return sample;
  }
}

/** The place of a file of tokens among those that a library looks for; -1 for others. */
function rankOf(name: string): number {
  return name.includes('/') ? -1 : VOCABULARY.findIndex((pattern) => pattern.test(name));
}

/** Whether a file that is to be copied was not written or fetched to its end. */
async function damageOf(file: SideFile): Promise<Conflict[]> {
  const what = file.size === 0 ? 'is empty' : await damageIn(file);
  if (what === null) return [];
  const message = `${file.path}: ${what}, and would be the tokenizer of the merge: get it again, or remove it from the newest member`;
  return [{ code: 'E_OTHER_CONTENT', message, file: file.path }];
}

async function damageIn(file: SideFile): Promise<string | null> {
  const [start, end] =
    file.size <= WHOLE
      ? await pieces(file, [[0, file.size]])
      : await pieces(file, [
          [0, BLOCK],
          [file.size - BLOCK, file.size],
        ]);
  if (start!.every((byte) => byte === 0)) return 'holds zeros';
  // A download gets its length first, and is written from its beginning.
  if ((end ?? start!.subarray(-BLOCK)).every((byte) => byte === 0)) return 'ends in zeros';
  if (!file.name.endsWith('.json')) return null;
  const whole = end === undefined ? pythonJsonOrNone(start!.toString()) !== undefined : /[}\]]\s*$/.test(end.toString('latin1'));
  return whole ? null : 'is no JSON text, or only the beginning of one';
}

async function sampleOf(file: FoundFile): Promise<string> {
  const { size } = file;
  const at = (i: number): number => Math.floor((i * (size - BLOCK)) / (BLOCKS - 1));
  const ranges: [number, number][] = size <= WHOLE ? [[0, size]] : Array.from({ length: BLOCKS }, (_, i) => [at(i), at(i) + BLOCK]);
  const hash = createHash('sha256').update(`${size} `);
  for (const piece of await pieces(file, ranges)) hash.update(piece);
  return hash.digest('hex');
}

async function pieces(found: FoundFile, ranges: readonly (readonly [start: number, end: number])[]): Promise<Buffer[]> {
  const file = await openFound(found);
  try {
    return await Promise.all(
      ranges.map(async ([start, end]) => {
        const bytes = Buffer.allocUnsafe(end - start);
        await readExactly(file, bytes, start);
        return bytes;
      }),
    );
  } finally {
    await file.close();
  }
}

/** Null where nothing can be said of it. */
async function vocabularyOf(file: FoundFile): Promise<Vocabulary | null> {
  if (file.size > PARSED) return null;
  const [bytes] = await pieces(file, [[0, file.size]]);
  const name = basename(file.path);
  if (!name.endsWith('.json')) return bytes!.toString('latin1');
  const value = pythonJsonOrNone(bytes!.toString());
  if (!isJsonObject(value)) return null;
  const tokens = new Map<number, string>();
  const add = (id: unknown, token: unknown) => typeof id === 'number' && typeof token === 'string' && tokens.set(id, token);
  const { model, added_tokens: added } = value;
  const vocabulary = name === 'vocab.json' ? value : isJsonObject(model) ? model.vocab : null;
  // By token, or (Unigram) pairs of a token and its score in their order.
  if (Array.isArray(vocabulary)) for (const [id, pair] of vocabulary.entries()) add(id, Array.isArray(pair) ? pair[0] : null);
  else if (isJsonObject(vocabulary)) for (const [token, id] of Object.entries(vocabulary)) add(id, token);
  if (Array.isArray(added)) for (const one of added) if (isJsonObject(one)) add(one.id, one.content);
  return tokens.size > 0 ? tokens : JSON.stringify(value);
}

/** In what the newest member's tokens differ from another's; null where they do not. */
function difference(newest: Vocabulary, other: Vocabulary): string | null {
  if (typeof newest === 'string' || typeof other === 'string') return newest === other ? null : 'their content is another';
  for (const [id, token] of newest) {
    const there = other.get(id);
    if (there !== undefined && there !== token) return `token ${id} is ${shown(token)} in the newest and ${shown(there)} in the other`;
  }
  return newest.size === other.size ? null : `${newest.size} tokens and ${other.size}`;
}

function shown(token: string): string {
  const text = JSON.stringify(printable(token));
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
