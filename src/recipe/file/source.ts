import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  visit,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import type { Conflict, ErrorCode } from '../../base/errors.ts';
import { type Problem, refuse } from '../../base/problems.ts';

/**
 * Nodes that aliases may repeat: generous for people, and an end to a file that doubles itself line by line.
 */
const MOST_ALIASED = 1000;
/** Values of a file, those that aliases repeat counted anew: a recipe of a thousand outputs has a tenth. */
const MOST_VALUES = 1_000_000;
/** Deepest nesting: what walks a file calls itself, and a recipe is five deep. */
const MOST_NESTED = 64;
/**
 * Lines, brackets, commas, colons, quotes and the like: the parser takes some microseconds for each, and is not
 * to be waited for where a file is another kind of file. A thousand outputs have less than half.
 */
const MOST_MARKS = 50_000;
/** Problems that are told; who has more mends these first. */
const MOST_PROBLEMS = 200;
/** Characters of a line that a problem shows. */
const SHOWN = 120;

/** First and last character of something in the text. */
type Range = readonly [start: number, end: number];

/** What a file is, for messages, and the code of what is wrong with it. */
export interface SourceKind {
  readonly noun: string;
  readonly code: ErrorCode;
}

const RECIPE: SourceKind = { noun: 'recipe', code: 'E_RECIPE' };

/**
 * A recipe, or another YAML file of ours, as text and as YAML: turns places of the data into places of the
 * text.
 */
export class RecipeSource {
  /** As plain data; undefined where the YAML itself is at fault. */
  readonly data: unknown;
  readonly #file: string;
  readonly #text: string;
  readonly #kind: SourceKind;
  readonly #lines = new LineCounter();
  readonly #document: Document.Parsed | null;
  readonly #problems: Conflict[] = [];
  /** What each alias stands for. */
  readonly #anchored = new Map<Alias, Node>();

  constructor(file: string, text: string, kind: SourceKind = RECIPE) {
    this.#file = file;
    this.#text = text;
    this.#kind = kind;
    const documents = this.#parse();
    const [first = null, second] = typeof documents === 'string' ? [] : documents;
    this.#document = first;
    if (typeof documents === 'string') {
      this.#add([0, 0], documents);
      return;
    }
    if (first === null || first.contents === null) this.#add([0, 0], `the ${kind.noun} is empty`);
    else if (second !== undefined)
      this.#add(second.range.slice(0, 2) as unknown as Range, `a second document begins here; a ${kind.noun} is one`);
    else {
      const data = this.#toData(first);
      if (data === null) this.#add([0, 0], `the ${kind.noun} is empty`);
      else this.data = data;
    }
  }

  /** What forbids it, where the parser would not come to an end, or to the end of its stack. */
  #parse(): readonly Document.Parsed[] | string {
    const forbids = tooIntricate(this.#text);
    if (forbids !== null) return forbids;
    try {
      // Of keys that are there twice it would compare each with each.
      const documents = parseAllDocuments(this.#text, {
        version: '1.2',
        prettyErrors: false,
        uniqueKeys: false,
        lineCounter: this.#lines,
      });
      return Array.isArray(documents) ? documents : [];
    } catch (error) {
      if (error instanceof RangeError) return TOO_DEEP;
      throw error;
    }
  }

  #toData(document: Document.Parsed): unknown {
    try {
      let broken = false;
      for (const error of [...document.errors, ...document.warnings].slice(0, MOST_PROBLEMS)) {
        broken = true;
        this.#add(error.pos, complaint(error));
      }
      if (!this.#resolveAliases(document) || broken) return undefined;
      const data: unknown = document.toJS({ maxAliasCount: MOST_ALIASED });
      const problem = tooMuch(data);
      if (problem === null) return data;
      this.#add([0, 0], problem);
    } catch (error) {
      this.#add([0, 0], error instanceof RangeError ? TOO_DEEP : `the aliases cannot be resolved: ${(error as Error).message}`);
    }
    return undefined;
  }

  /** @returns false for aliases and keys of which no data can be made; a key that is there twice is only told */
  #resolveAliases(document: Document.Parsed): boolean {
    let sound = true;
    const anchors = new Map<string, Node>();
    visit(document, (_, node, path) => {
      if (isAlias(node)) {
        const anchored = anchors.get(node.source);
        if (anchored !== undefined && !path.includes(anchored)) {
          this.#anchored.set(node, anchored);
          return;
        }
        sound = false;
        const problem =
          anchored === undefined ? `there is no anchor \`&${node.source}\` before this` : 'this alias stands inside its own anchor';
        this.#add(rangeOf(node), problem);
      } else if (isNode(node)) {
        if (node.anchor !== undefined) anchors.set(node.anchor, node);
        if (isMap(node) && !this.#keysAreSound(node)) sound = false;
      }
    });
    return sound;
  }

  /** Complains of keys that are there twice, and of lists and maps as keys: the parser would make text of them. */
  #keysAreSound({ items }: YAMLMap<unknown, unknown>): boolean {
    let sound = true;
    const keys = new Set<string>();
    for (const { key } of items) {
      const text = keyText(key);
      if (text === null) {
        if (key === null) continue;
        sound = false;
        this.#add(rangeOf(key as Node), 'a key has to be a word');
        continue;
      }
      if (keys.has(text)) this.#add(rangeOf(key as Node), 'this key is given twice in one map');
      keys.add(text);
    }
    return sound;
  }

  /** Notes a problem where its path leads, or where what is there of it ends. */
  complain({ path, message, atKey }: Problem): void {
    const { node, pairKey } = this.#walk(path);
    this.#add(rangeOf(atKey ? (pairKey ?? node) : node), message);
  }

  /** The text of a scalar, to quote it; null where there is none or where it is long. */
  quoted(keys: Problem['path']): string | null {
    const { node, found } = this.#walk(keys);
    if (!found || isMap(node) || isSeq(node)) return null;
    const [start, end] = rangeOf(node);
    const text = this.#text.slice(start, end).trim();
    return text === '' || text.length > 40 || text.includes('\n') ? null : text;
  }

  /** Line of the key at the end of a path, or of what is there of it; from 1 on. */
  lineOf(path: Problem['path']): number {
    const { node, pairKey } = this.#walk(path);
    return this.#lines.linePos(rangeOf(pairKey ?? node)[0]).line;
  }

  /**
   * @throws MergeError E_RECIPE, or the code of its kind, with every problem that was noted, in the order of
   *   the lines.
   */
  refuse(): void {
    const problems = [...new Map(this.#problems.map((problem) => [problem.message, problem])).values()];
    problems.sort((a, b) => order(a.message, b.message, this.#file));
    refuse(problems, { several: (count) => `${this.#file} has ${count} problems` });
  }

  /**
   * The node at the end of `keys`, through aliases, or the last one on the way; and the key it stands behind.
   */
  #walk(keys: Problem['path']): { node: Node | null; pairKey: Node | null; found: boolean } {
    let node: Node | null = this.#document?.contents ?? null;
    let pairKey: Node | null = null;
    for (const key of keys) {
      const parent: Node | undefined | null = isAlias(node) ? this.#anchored.get(node) : node;
      const pair = isMap(parent) ? parent.items.find((item) => keyText(item.key) === String(key)) : undefined;
      const next = isSeq(parent) ? parent.items[Number(key)] : (pair?.value ?? pair?.key);
      if (!isNode(next)) return { node, pairKey, found: false };
      node = next;
      pairKey = isNode(pair?.key) ? pair.key : null;
    }
    return { node, pairKey, found: true };
  }

  /** `FILE:LINE:COLUMN: message`, the line, and a caret below what is at fault. */
  #add([start, end]: Range, message: string): void {
    if (this.#problems.length >= MOST_PROBLEMS) return;
    const { line, col } = this.#lines.lineStarts.length === 0 ? { line: 1, col: 1 } : this.#lines.linePos(start);
    const lineStart = start - col + 1;
    const lineEnd = this.#text.indexOf('\n', lineStart);
    const whole = this.#text.slice(lineStart, lineEnd < 0 ? undefined : lineEnd).replace(/\r$/, '');
    const skipped = whole.length > SHOWN ? Math.max(0, col - SHOWN / 2) : 0;
    // A tab is as wide as the terminal likes; one column keeps the caret where it belongs.
    const shown = whole.slice(skipped, skipped + SHOWN).replaceAll('\t', '→');
    const width = Math.max(1, Math.min(end, lineStart + whole.trimEnd().length) - start);
    const caret = `${' '.repeat(col - 1 - skipped)}${'^'.repeat(Math.min(width, Math.max(1, shown.length - (col - 1 - skipped))))}`;
    const excerpt = whole.trim() === '' ? '' : `\n  ${shown}\n  ${caret}`;
    this.#problems.push({ code: this.#kind.code, message: `${this.#file}:${line}:${col}: ${message}${excerpt}`, file: this.#file });
  }
}

function rangeOf(node: Node | null): Range {
  return node?.range == null ? [0, 0] : [node.range[0], node.range[1]];
}

/** A key as data has it; null for one that is not there, an alias, a list or a map. */
function keyText(key: unknown): string | null {
  return isScalar(key) ? String(key.value) : null;
}

const TOO_DEEP = `this is nested more than ${MOST_NESTED} deep`;

/** A look at the brackets of a text, and at all that the parser makes something of; null where it may be read. */
function tooIntricate(text: string): string | null {
  let [brackets, dashes, marks] = [0, 0, 0];
  for (let i = 0; i < text.length; i++) {
    const character = text[i]!;
    if (character === '[' || character === '{') brackets++;
    else if (character === ']' || character === '}') brackets = Math.max(0, brackets - 1);
    // Lists in lists on one line.
    const opens = (character === '-' || character === '?') && text[i + 1] === ' ';
    if (opens) dashes++;
    else if (character !== ' ') dashes = 0;
    if (opens || MARKS.has(character)) marks++;
    if (brackets > MOST_NESTED || dashes > MOST_NESTED) return TOO_DEEP;
    if (marks > MOST_MARKS) return `this has more than ${MOST_MARKS} lines and signs, as no file of its kind has`;
  }
  return null;
}

const MARKS: ReadonlySet<string> = new Set('\n\r,:{}[]&*!"\'%|>\\`@');

/** What forbids walking through data; null for nothing. Aliases make it a graph, in which a part stands many times. */
function tooMuch(data: unknown): string | null {
  let values = 0;
  let level: unknown[] = [data];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MOST_NESTED) return TOO_DEEP;
    const next: unknown[] = [];
    for (const value of level) {
      if (++values > MOST_VALUES) return `with its aliases this has more than ${MOST_VALUES} values`;
      if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) next.push(inner);
      if (next.length > MOST_VALUES) return `with its aliases this has more than ${MOST_VALUES} values`;
    }
    level = next;
  }
  return null;
}

function complaint({ code, message }: YAMLError): string {
  // The parser makes one of what it catches.
  if (message.includes('call stack')) return TOO_DEEP;
  if (code === 'TAB_AS_INDENT') return 'a tab cannot indent YAML: use spaces';
  return `not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1)}`;
}

function order(a: string, b: string, file: string): number {
  const [lineA = 0, columnA = 0] = a
    .slice(file.length + 1)
    .split(':', 2)
    .map(Number);
  const [lineB = 0, columnB = 0] = b
    .slice(file.length + 1)
    .split(':', 2)
    .map(Number);
  return lineA - lineB || columnA - columnB;
}
