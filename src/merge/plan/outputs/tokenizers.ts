import { createHash } from 'node:crypto';
import type { Conflict, Warning } from '../../../base/errors.ts';
import { pythonJsonOrNone } from '../../../base/json/parse.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { readExactly, storeOf } from '../../../base/store/store.ts';
import { type FoundFile, openFound } from '../../../checkpoints/link-ground.ts';
import { findSideFile, groundOf, type SideFile, type SideFileOptions } from '../../../checkpoints/side-files.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { plural } from '../../../render/format.ts';
import type { DraftOutput } from '../inputs/drafts.ts';
import type { FilesBeside } from './beside.ts';
import { comparable, type Files, isJsonText, isOfVocabulary, partsOf, rankOf, tokensDiffer, vocabularyOf } from './vocabulary.ts';

/** Files beside those that hold the tokens. */
const BESIDE = /^(tokenizer_config|special_tokens_map|added_tokens)\.json$|^merges\.txt$/;

/** Members whose tokenizers are looked at, at a time. */
const AT_ONCE = 8;
/** Bytes of a file's beginning and end that say whether it is whole, and of a block that is compared. */
const BLOCK = 4096;
/** Blocks that are compared of a file that is too long to be compared as a whole. */
const BLOCKS = 32;
const WHOLE = 2 ** 20;
/** Bytes of tokenizers among the members that are parsed to find a difference in their tokens. */
const MOST_PARSED = 2 ** 28;

/**
 * What there is to say of the tokenizers that outputs get, which are those of their newest members: whether
 * they are damaged, whether an older member has one where the newest has none, and whether the members'
 * tokens are others, so that rows of the embedding are averaged that stand for different ones. Files are
 * compared by their size and by samples; only what differs in these is parsed, or has none to be compared
 * with. What each member has is looked at once for all outputs.
 */
export class Tokenizers {
  readonly #options: Pick<SideFileOptions, 'followLinks'>;
  readonly #found = new Map<Checkpoint, Promise<Files>>();
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
    if (conflicts.length > 0) return { warnings: [], conflicts };
    if (own.some(({ name }) => rankOf(name) !== -1)) {
      const mine = new Map(own.map((file) => [file.name, file]));
      const damaged = await this.#damaged(mine, found);
      return { warnings: damaged.length > 0 ? [] : await this.#differences(mine, newest, older, found), conflicts: damaged };
    }
    // What is left behind is said where it is left.
    const last = left.some(({ name }) => rankOf(name) !== -1) ? -1 : found.findLastIndex((files) => vocabulariesIn(files).length > 0);
    if (last === -1) return { warnings: [], conflicts };
    const names = vocabulariesIn(found[last]!).join(', ');
    const message = `${newest.path} has no tokenizer, which ${older[last]!.path} has (${names}), so the merge has none either: it is taken from the newest member only; copy it into the output where it is the same`;
    return { warnings: [{ code: 'W_TOKENIZER', message }], conflicts };
  }

  #of(member: Checkpoint): Promise<Files> {
    let found = this.#found.get(member);
    if (found === undefined) {
      found = this.#look(member);
      this.#found.set(member, found);
    }
    return found;
  }

  /** What cannot be had of a member that gives no tokenizer is nobody's loss. */
  async #look({ path }: Checkpoint): Promise<Files> {
    const entries =
      (await storeOf(path)
        .list(path)
        .catch(() => null)) ?? [];
    const names = entries.map(({ name }) => name).filter(isOfVocabulary);
    if (names.length === 0) return new Map();
    const ground = await groundOf(path, this.#options.followLinks ?? false);
    const files = await Promise.all(names.sort().map((name) => findSideFile(path, name, ground).catch(() => null)));
    return new Map(files.flatMap((file) => (file === null || 'reason' in file ? [] : [[file.name, file]])));
  }

  /**
   * Long files of which only the ends were looked at, and that no older member has alike. A hole, or a text
   * that was cut behind a brace, does not show there.
   */
  async #damaged(own: ReadonlyMap<string, SideFile>, found: readonly Files[]): Promise<Conflict[]> {
    const conflicts: Conflict[] = [];
    for (const file of own.values()) {
      if (file.size <= WHOLE || !file.name.endsWith('.json')) continue;
      const sample = await this.#sample(file);
      const others = found.flatMap((files) => files.get(file.name) ?? []).toReversed();
      let alike = false;
      for (const other of others) alike ||= (await this.#sample(other).catch(() => null)) === sample;
      if (!alike && !(await isJsonText(file))) conflicts.push(damaged(file, NO_JSON));
    }
    return conflicts;
  }

  async #differences(own: Files, newest: Checkpoint, older: readonly Checkpoint[], found: readonly Files[]): Promise<Warning[]> {
    /** Members by what they have for the newest one's file, from the newest on. */
    const others = new Map<string, { readonly names: readonly [string, string]; readonly files: Files; readonly members: Checkpoint[] }>();
    for (let i = older.length - 1; i >= 0; i--) {
      const files = found[i]!;
      const names = comparable(own, files);
      if (names === null) continue;
      const [mine, other] = await Promise.all([this.#samplesOf(own, names[0]), this.#samplesOf(files, names[1]).catch(() => null)]);
      if (other === null || other === mine) continue;
      const known = others.get(`${names.join()} ${other}`);
      if (known === undefined) others.set(`${names.join()} ${other}`, { names, files, members: [older[i]!] });
      else known.members.push(older[i]!);
    }
    let parsed = 0;
    for (const { names, files, members } of others.values()) {
      const parts = [...partsOf(own, names[0]), ...partsOf(files, names[1])];
      parsed += parts.reduce((sum, { size }) => sum + size, 0);
      if (parsed > MOST_PARSED) break;
      const [a, b] = [await vocabularyOf(own, names[0]), await vocabularyOf(files, names[1]).catch(() => null)];
      const what = a === null || b === null ? null : tokensDiffer(a, b);
      if (what === null) continue;
      const more = members.length > 1 ? ` and of ${plural(members.length - 1, 'more member')}` : '';
      const other = names[0] === names[1] ? '' : `${names[1]} `;
      const message = `${names[0]} of ${newest.path} and ${other}of ${members[0]!.path}${more} differ: ${what}`;
      return [{ code: 'W_TOKENIZER', message }];
    }
    return [];
  }

  /** Equal for tokenizers of which all files are. */
  async #samplesOf(files: Files, name: string): Promise<string> {
    return (await Promise.all(partsOf(files, name).map((file) => this.#sample(file)))).join();
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

function vocabulariesIn(files: Files): string[] {
  return [...files.keys()].filter((name) => rankOf(name) !== -1);
}

/** Whether a file that is to be copied was not written or fetched to its end. */
async function damageOf(file: SideFile): Promise<Conflict[]> {
  const what = file.size === 0 ? 'is empty' : await damageIn(file);
  return what === null ? [] : [damaged(file, what)];
}

const NO_JSON = 'is no JSON text, or only the beginning of one';

function damaged(file: SideFile, what: string): Conflict {
  const message = `${file.path}: ${what}, and would be the tokenizer of the merge: get it again, or remove it from the newest member`;
  return { code: 'E_OTHER_CONTENT', message, file: file.path };
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
  const whole = end === undefined ? pythonJsonOrNone(start!.toString()) !== undefined : endsAsItBegins(start!, end);
  return whole ? null : NO_JSON;
}

function endsAsItBegins(start: Buffer, end: Buffer): boolean {
  const [first] = /[^\s\u00bb\u00bf\u00ef]/.exec(start.toString('latin1')) ?? [];
  const last = end.toString('latin1').trimEnd().at(-1);
  return (first === '{' && last === '}') || (first === '[' && last === ']');
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
