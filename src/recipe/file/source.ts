import { type Document, isAlias, isMap, isNode, isSeq, LineCounter, type Node, parseAllDocuments, visit, type YAMLError } from 'yaml';
import type { Conflict, ErrorCode } from '../../base/errors.ts';
import { type Problem, refuse } from '../../base/problems.ts';

/**
 * Nodes that aliases may repeat: generous for people, and an end to a file that doubles itself line by line.
 */
const MOST_ALIASED = 1000;
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

  constructor(file: string, text: string, kind: SourceKind = RECIPE) {
    this.#file = file;
    this.#text = text;
    this.#kind = kind;
    const documents = parseAllDocuments(text, { version: '1.2', prettyErrors: false, lineCounter: this.#lines });
    const [first = null, second] = Array.isArray(documents) ? documents : [];
    this.#document = first;
    if (first === null || first.contents === null) this.#add([0, 0], `the ${kind.noun} is empty`);
    else if (second !== undefined)
      this.#add(second.range.slice(0, 2) as unknown as Range, `a second document begins here; a ${kind.noun} is one`);
    else {
      const data = this.#toData(first);
      if (data === null) this.#add([0, 0], `the ${kind.noun} is empty`);
      else this.data = data;
    }
  }

  #toData(document: Document.Parsed): unknown {
    let broken = false;
    for (const error of [...document.errors, ...document.warnings]) {
      this.#add(error.pos, complaint(error));
      // A key that is there twice leaves the rest as it is, so the rest can be looked at.
      broken ||= error.code !== 'DUPLICATE_KEY';
    }
    visit(document, {
      Alias: (_, alias) => {
        if (alias.resolve(document) !== undefined) return;
        broken = true;
        this.#add(rangeOf(alias), `there is no anchor \`&${alias.source}\` before this`);
      },
    });
    if (broken) return undefined;
    try {
      return document.toJS({ maxAliasCount: MOST_ALIASED });
    } catch (error) {
      this.#add([0, 0], `the aliases cannot be resolved: ${(error as Error).message}`);
      return undefined;
    }
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
      const parent: Node | undefined | null = isAlias(node) ? node.resolve(this.#document!) : node;
      const pair = isMap(parent) ? parent.items.find((item) => String((item.key as { value?: unknown }).value) === String(key)) : undefined;
      const next = isSeq(parent) ? parent.items[Number(key)] : (pair?.value ?? pair?.key);
      if (!isNode(next)) return { node, pairKey, found: false };
      node = next;
      pairKey = isNode(pair?.key) ? pair.key : null;
    }
    return { node, pairKey, found: true };
  }

  /** `FILE:LINE:COLUMN: message`, the line, and a caret below what is at fault. */
  #add([start, end]: Range, message: string): void {
    const { line, col } = this.#lines.lineStarts.length === 0 ? { line: 1, col: 1 } : this.#lines.linePos(start);
    const lineStart = start - col + 1;
    const whole = this.#text.slice(lineStart).split(/\r?\n/, 1)[0]!;
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

function complaint({ code, message }: YAMLError): string {
  if (code === 'DUPLICATE_KEY') return 'this key is given twice in one map';
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
