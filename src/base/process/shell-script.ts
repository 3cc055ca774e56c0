/**
 * Reads text for a POSIX shell as far as it takes to say where in it something stands: in a plain word, within
 * quotes, in a command of which program. It runs nothing and expands nothing. What shells read in different
 * ways, and what this does not know, is {@link NotUnderstood}, never a guess.
 */

/** A place in the text that is to be told about, as a placeholder. It is read as one letter of a word. */
export interface Mark {
  readonly at: number;
  readonly end: number;
}

export type Quote = '' | "'" | '"';

export type WordPart =
  | { readonly kind: 'text'; readonly text: string; readonly quote: Quote }
  | { readonly kind: 'mark'; readonly mark: Mark; readonly quote: Quote }
  /** `$name`, `$1`, `${name…}`. */
  | { readonly kind: 'variable'; readonly name: string; readonly quote: Quote }
  /** `$(…)`. */
  | { readonly kind: 'commands'; readonly script: readonly ShellCommand[]; readonly quote: Quote }
  /** What is not looked into: `` `…` ``, `$((…))`. */
  | { readonly kind: 'opaque'; readonly text: string; readonly quote: Quote };

export interface Word {
  readonly at: number;
  readonly end: number;
  readonly parts: readonly WordPart[];
}

/** A simple command, or the head of a loop, a case or a function. */
export interface ShellCommand {
  readonly kind: 'simple' | 'for' | 'case' | 'test' | 'function';
  readonly at: number;
  /** `NAME=value` in front of the command. */
  readonly assignments: readonly Word[];
  readonly words: readonly Word[];
  /** What redirections name; of here-strings the text. */
  readonly redirections: readonly { readonly operator: string; readonly word: Word }[];
}

interface ShellScript {
  readonly commands: readonly ShellCommand[];
  /** Marks that stand where no word of a command is, by what it is: a comment, a pattern. */
  readonly elsewhere: ReadonlyMap<Mark, string>;
}

/** The text is not one that every shell reads as this does. */
export class NotUnderstood extends Error {}

interface Open {
  kind: ShellCommand['kind'];
  at: number;
  assignments: Word[];
  words: Word[];
  redirections: { operator: string; word: Word }[];
  /** After `)`, `}`, `fi`, `done`, `esac` only redirections and operators follow. */
  closed: boolean;
}

interface HereDocument {
  readonly delimiter: string;
  readonly quoted: boolean;
  readonly tabs: boolean;
}

const OPENING = new Set(['if', 'then', 'else', 'elif', 'do', 'while', 'until', '!', '{', 'time']);
const CLOSING = new Set(['fi', 'done', '}']);
const NOT_READ = new Set(['function', 'select', 'coproc']);
const ENDS_WORD = ' \t\n;&|<>()';
const HERE = /^[ \t]*(?:([\w.+-]+)|'([^'\n]*)'|"([^"\n\\$`]*)"|\\(\w+))(?=[\s;&|<>()]|$)/;
const ASSIGNMENT = /^[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=/;

/** @throws NotUnderstood */
export function readShell(text: string, marks: readonly Mark[]): ShellScript {
  // A line that goes on in the middle of an operator.
  if (/[$<>&|;]\\\n/.test(text)) throw new NotUnderstood('a line that goes on within an operator');
  return new Reader(text, marks).read();
}

class Reader {
  readonly #text: string;
  readonly #marks: ReadonlyMap<number, Mark>;
  readonly #elsewhere = new Map<Mark, string>();
  #at = 0;
  #here: HereDocument[] = [];
  /** How many `(`, `$(` and `case` are open. */
  #depth = 0;

  constructor(text: string, marks: readonly Mark[]) {
    this.#text = text;
    this.#marks = new Map(marks.map((mark) => [mark.at, mark]));
  }

  read(): ShellScript {
    const commands = this.#script('end').commands;
    return { commands, elsewhere: this.#elsewhere };
  }

  /** @returns what ended it: the end, `)`, `;;` or `esac` */
  #script(until: 'end' | ')' | 'case'): { commands: ShellCommand[]; ended: string } {
    if (++this.#depth > 50) throw new NotUnderstood('commands nested more than 50 deep');
    const commands: ShellCommand[] = [];
    let open = begin(this.#at);
    const finish = () => {
      if (wordsOf(open).length > 0) commands.push(open);
      open = begin(this.#at);
    };
    const end = (ended: string) => {
      finish();
      this.#depth--;
      return { commands, ended };
    };
    for (;;) {
      this.#blanks();
      const at = this.#at;
      const rest = this.#text.slice(at, at + 3);
      const letter = rest[0];
      if (letter === undefined) {
        if (until !== 'end') throw new NotUnderstood('a bracket or a case that is not closed');
        if (this.#here.length > 0) throw new NotUnderstood('a here-document without its text');
        return end('end');
      }
      if (letter === '#') this.#comment();
      else if (letter === '\n') {
        this.#at++;
        this.#hereDocuments();
        finish();
      } else if (rest.startsWith(';;')) {
        if (until !== 'case' || rest === ';;&') throw new NotUnderstood(';; outside a case');
        this.#at += 2;
        return end(';;');
      } else if (letter === ';') {
        if (rest[1] === '&') throw new NotUnderstood(';&');
        this.#at++;
        finish();
      } else if (letter === '&' || letter === '|') {
        if (rest.startsWith('&>') || rest.startsWith('|&')) throw new NotUnderstood(rest.slice(0, 2));
        this.#at += rest[1] === letter ? 2 : 1;
        finish();
      } else if (letter === '(') {
        if (rest[1] === '(') throw new NotUnderstood('((');
        if (this.#functionName(open)) {
          commands.push({ ...open, kind: 'function' });
          open = begin(this.#at);
          continue;
        }
        if (!isEmpty(open)) throw new NotUnderstood('a bracket within a command');
        this.#at++;
        commands.push(...this.#script(')').commands);
        open.closed = true;
      } else if (letter === ')') {
        if (until !== ')') throw new NotUnderstood(') that closes nothing');
        if (this.#here.length > 0) throw new NotUnderstood('a here-document that its bracket ends');
        this.#at++;
        return end(')');
      } else if (letter === '<' || letter === '>') this.#redirection(open);
      else {
        const word = this.#word();
        // The number of a redirection.
        if (/^\d+$/.test(this.#text.slice(word.at, word.end)) && '<>'.includes(this.#text[this.#at] ?? ' ')) continue;
        const reserved = open.words.length + open.assignments.length === 0 ? bare(word, this.#text) : null;
        if (reserved !== null && NOT_READ.has(reserved)) throw new NotUnderstood(reserved);
        if (reserved !== null && CLOSING.has(reserved)) open.closed = true;
        else if (reserved === 'esac') {
          if (until !== 'case') throw new NotUnderstood('esac that closes nothing');
          return end('esac');
        } else if (open.closed) throw new NotUnderstood('a word behind the end of a group');
        else if (reserved !== null && OPENING.has(reserved)) continue;
        else if (reserved === 'for') {
          commands.push(this.#loop(at));
          open = begin(this.#at);
        } else if (reserved === 'case') {
          commands.push(...this.#case(at));
          open.closed = true;
        } else if (reserved === '[[') {
          commands.push(this.#test(at));
          open.closed = true;
        } else if (open.words.length === 0 && isAssignment(word)) open.assignments.push(word);
        else open.words.push(word);
      }
    }
  }

  /** `name ( )`. */
  #functionName(open: Open): boolean {
    const name = open.words[0];
    if (name === undefined || open.words.length > 1 || open.assignments.length > 0) return false;
    const brackets = /^\([ \t]*\)\s*/.exec(this.#text.slice(this.#at));
    if (brackets === null || !/^\w+$/.test(this.#text.slice(name.at, name.end))) return false;
    if (this.#here.length > 0) throw new NotUnderstood('a here-document of a function');
    this.#at += brackets[0].length;
    return true;
  }

  /** From behind `for` to what comes before `do`. */
  #loop(at: number): ShellCommand {
    const words: Word[] = [];
    this.#blanks();
    words.push(this.#word());
    this.#lines();
    if (/^in(?=[ \t\n;])/.test(this.#text.slice(this.#at))) {
      this.#at += 2;
      for (;;) {
        this.#blanks();
        const letter = this.#text[this.#at];
        if (letter === ';' || letter === '\n') break;
        if (letter === undefined || ENDS_WORD.includes(letter)) throw new NotUnderstood('a loop');
        words.push(this.#word());
      }
    }
    return { ...begin(at), kind: 'for', words };
  }

  /** From behind `case` to behind its `esac`. */
  #case(at: number): ShellCommand[] {
    this.#blanks();
    const subject = this.#word();
    this.#lines();
    if (!/^in(?=[ \t\n])/.test(this.#text.slice(this.#at))) throw new NotUnderstood('a case');
    this.#at += 2;
    const commands: ShellCommand[] = [{ ...begin(at), kind: 'case', words: [subject] }];
    for (;;) {
      this.#lines();
      if (/^esac(?![\w-])/.test(this.#text.slice(this.#at))) {
        this.#at += 4;
        return commands;
      }
      if (this.#text[this.#at] === '(') this.#at++;
      for (;;) {
        this.#blanks();
        const pattern = this.#word();
        this.#note(pattern.at, pattern.end, 'the pattern of a case');
        this.#blanks();
        const letter = this.#text[this.#at++];
        if (letter === ')') break;
        if (letter !== '|') throw new NotUnderstood('the pattern of a case');
      }
      const { commands: body, ended } = this.#script('case');
      commands.push(...body);
      if (ended === 'esac') return commands;
    }
  }

  /** From behind `[[` to behind `]]`: the words in it, whatever it asks of them. */
  #test(at: number): ShellCommand {
    const words: Word[] = [];
    for (;;) {
      this.#blanks();
      const rest = this.#text.slice(this.#at, this.#at + 3);
      if (rest === '') throw new NotUnderstood('[[');
      if (/^\]\](?=[\s;&|)]|$)/.test(rest)) {
        this.#at += 2;
        return { ...begin(at), kind: 'test', words };
      }
      if (ENDS_WORD.includes(rest[0]!)) this.#at++;
      else words.push(this.#word());
    }
  }

  #redirection(open: Open): void {
    const operator = /^(?:<<<|<<-|<<|<&|<>|<|>>|>&|>\||>)/.exec(this.#text.slice(this.#at, this.#at + 3))![0];
    this.#at += operator.length;
    if (this.#text[this.#at] === '(') throw new NotUnderstood('a command in the place of a file');
    if (operator === '<<' || operator === '<<-') {
      const found = HERE.exec(this.#text.slice(this.#at));
      if (found === null) throw new NotUnderstood('the end of a here-document');
      this.#at += found[0].length;
      const delimiter = found.slice(1).find((text) => text !== undefined)!;
      this.#here.push({ delimiter, quoted: found[1] === undefined, tabs: operator === '<<-' });
      const at = this.#at;
      open.redirections.push({ operator, word: { at, end: at, parts: [] } });
      return;
    }
    this.#blanks();
    const letter = this.#text[this.#at];
    if (letter === undefined || ENDS_WORD.includes(letter)) throw new NotUnderstood('a redirection to nothing');
    open.redirections.push({ operator, word: this.#word() });
  }

  #hereDocuments(): void {
    for (const { delimiter, quoted, tabs } of this.#here) {
      for (;;) {
        if (this.#at >= this.#text.length) throw new NotUnderstood('a here-document without its end');
        const newline = this.#text.indexOf('\n', this.#at);
        const end = newline < 0 ? this.#text.length : newline;
        const line = this.#text.slice(this.#at, end);
        if (!quoted && line.endsWith('\\')) throw new NotUnderstood('a here-document of which a line goes on');
        this.#skip(Math.min(end + 1, this.#text.length), 'a here-document');
        if ((tabs ? line.replace(/^\t+/, '') : line) === delimiter) {
          break;
        }
      }
    }
    this.#here = [];
  }

  #comment(): void {
    const newline = this.#text.indexOf('\n', this.#at);
    const end = newline < 0 ? this.#text.length : newline;
    if (this.#depth > 1 && /['"`()]/.test(this.#text.slice(this.#at, end))) throw new NotUnderstood('a comment within brackets');
    this.#skip(end, 'a comment');
  }

  /** Goes on at `end`; marks up to there are `where`. */
  #skip(end: number, where: string): void {
    this.#note(this.#at, end, where);
    this.#at = end;
  }

  #note(from: number, to: number, where: string): void {
    for (const [at, mark] of this.#marks) if (at >= from && at < to) this.#elsewhere.set(mark, where);
  }

  #blanks(): void {
    for (;;) {
      const letter = this.#text[this.#at];
      if (letter === ' ' || letter === '\t') this.#at++;
      else if (letter === '\\' && this.#text[this.#at + 1] === '\n') this.#at += 2;
      else return;
    }
  }

  #lines(): void {
    for (;;) {
      this.#blanks();
      if (this.#text[this.#at] === '#') this.#comment();
      if (this.#text[this.#at] !== '\n') return;
      if (this.#here.length > 0) throw new NotUnderstood('a here-document within a loop or case');
      this.#at++;
    }
  }

  #word(): Word {
    const at = this.#at;
    const parts: WordPart[] = [];
    for (;;) {
      const letter = this.#text[this.#at];
      if (letter === undefined || ENDS_WORD.includes(letter)) break;
      this.#part(letter, parts);
    }
    if (this.#at === at) throw new NotUnderstood(`'${this.#text.slice(at, at + 1)}'`);
    if (this.#here.length > 0 && this.#text.slice(at, this.#at).includes('\n')) throw new NotUnderstood('a here-document and a long word');
    return { at, end: this.#at, parts };
  }

  #part(letter: string, parts: WordPart[]): void {
    const mark = this.#marks.get(this.#at);
    if (mark !== undefined) {
      parts.push({ kind: 'mark', mark, quote: '' });
      this.#at = mark.end;
    } else if (letter === "'") this.#single(parts);
    else if (letter === '"') this.#double(parts);
    else if (letter === '$') this.#dollar('', parts);
    else if (letter === '`') this.#backQuotes('', parts);
    else if (letter === '\\') {
      this.#escape();
      const next = this.#text[this.#at++];
      if (next === undefined) throw new NotUnderstood('a backslash at the end');
      if (next !== '\n') add(parts, next, "'");
    } else {
      add(parts, letter, '');
      this.#at++;
    }
  }

  /** Over a backslash. */
  #escape(): void {
    this.#at++;
    const mark = this.#marks.get(this.#at);
    if (mark !== undefined) this.#elsewhere.set(mark, 'what follows a backslash');
  }

  #single(parts: WordPart[]): void {
    this.#at++;
    add(parts, '', "'");
    for (;;) {
      const letter = this.#text[this.#at];
      const mark = this.#marks.get(this.#at);
      if (letter === undefined) throw new NotUnderstood('a quote that is not closed');
      if (mark !== undefined) {
        parts.push({ kind: 'mark', mark, quote: "'" });
        this.#at = mark.end;
        continue;
      }
      this.#at++;
      if (letter === "'") return;
      add(parts, letter, "'");
    }
  }

  #double(parts: WordPart[]): void {
    this.#at++;
    add(parts, '', '"');
    for (;;) {
      const letter = this.#text[this.#at];
      const mark = this.#marks.get(this.#at);
      if (letter === undefined) throw new NotUnderstood('a quote that is not closed');
      if (mark !== undefined) {
        parts.push({ kind: 'mark', mark, quote: '"' });
        this.#at = mark.end;
      } else if (letter === '"') {
        this.#at++;
        return;
      } else if (letter === '$') this.#dollar('"', parts);
      else if (letter === '`') this.#backQuotes('"', parts);
      else if (letter === '\\') {
        this.#escape();
        const next = this.#text[this.#at] ?? '';
        if ('$`"\\\n'.includes(next)) {
          this.#at++;
          if (next !== '\n') add(parts, next, '"');
        } else add(parts, '\\', '"');
      } else {
        add(parts, letter, '"');
        this.#at++;
      }
    }
  }

  #backQuotes(quote: Quote, parts: WordPart[]): void {
    const found = /^`(?:[^\\`]|\\[\s\S])*`/.exec(this.#text.slice(this.#at));
    if (found === null) throw new NotUnderstood('a back quote that is not closed');
    this.#skip(this.#at + found[0].length, 'back quotes');
    parts.push({ kind: 'opaque', text: found[0], quote });
  }

  #dollar(quote: Quote, parts: WordPart[]): void {
    const rest = this.#text.slice(this.#at + 1);
    const name = /^(?:[A-Za-z_]\w*|[0-9@*])/.exec(rest)?.[0];
    if (name !== undefined) {
      parts.push({ kind: 'variable', name, quote });
      this.#at += 1 + name.length;
    } else if (rest.startsWith('((')) this.#arithmetic(quote, parts);
    else if (rest.startsWith('(')) {
      this.#at += 2;
      parts.push({ kind: 'commands', script: this.#substitution(), quote });
    } else if (rest.startsWith('{')) this.#parameter(quote, parts);
    else if (quote === '' && /^['"]/.test(rest)) throw new NotUnderstood(`$${rest[0]}`);
    else {
      add(parts, '$', quote);
      this.#at++;
    }
  }

  #substitution(): readonly ShellCommand[] {
    if (this.#here.length > 0) throw new NotUnderstood('a here-document and a command in its line');
    return this.#script(')').commands;
  }

  #arithmetic(quote: Quote, parts: WordPart[]): void {
    let depth = 0;
    let end = this.#at + 1;
    do {
      const letter = this.#text[end++];
      if (letter === undefined || '\'"`\\'.includes(letter)) throw new NotUnderstood('$((');
      if (letter === '(') depth++;
      if (letter === ')') depth--;
    } while (depth > 0);
    if (this.#text[end - 2] !== ')') throw new NotUnderstood('$((');
    const text = this.#text.slice(this.#at, end);
    this.#skip(end, 'arithmetic');
    parts.push({ kind: 'opaque', text, quote });
  }

  /** `${name}`, and with what a shell can do to it. */
  #parameter(quote: Quote, parts: WordPart[]): void {
    const name = /^\$\{[#!]?([A-Za-z_]\w*|[0-9]+|[@*#?$!-])/.exec(this.#text.slice(this.#at))?.[1];
    if (name === undefined) throw new NotUnderstood('${');
    let depth = 0;
    let end = this.#at + 1;
    do {
      const letter = this.#text[end];
      if (letter === undefined || '\'"`\\\n('.includes(letter)) throw new NotUnderstood(`\${${name} … }`);
      const mark = this.#marks.get(end);
      end = mark?.end ?? end + 1;
      if (mark !== undefined) continue;
      if (letter === '{') depth++;
      if (letter === '}') depth--;
    } while (depth > 0);
    const inner = this.#text.slice(this.#at + 2, end - 1);
    const how = inner.replace(name, '');
    if (/^!|@[A-Za-z]$/.test(how)) throw new NotUnderstood(`\${${inner}}`);
    this.#skip(end, `\${${name} … }`);
    parts.push({ kind: 'variable', name, quote });
    if (how !== '') parts.push({ kind: 'opaque', text: how, quote });
  }
}

function begin(at: number): Open {
  return { kind: 'simple', at, assignments: [], words: [], redirections: [], closed: false };
}

function isEmpty(open: Open): boolean {
  return wordsOf(open).length === 0 && !open.closed;
}

/** Text goes on in the part before where that is quoted alike. */
function add(parts: WordPart[], text: string, quote: Quote): void {
  const last = parts.at(-1);
  if (last?.kind === 'text' && last.quote === quote) parts[parts.length - 1] = { ...last, text: last.text + text };
  else parts.push({ kind: 'text', text, quote });
}

/** A word without any quotes and expansions. */
function bare(word: Word, text: string): string | null {
  return word.parts.length === 1 && word.parts[0]!.kind === 'text' && word.parts[0]!.quote === '' ? text.slice(word.at, word.end) : null;
}

function isAssignment({ parts: [first] }: Word): boolean {
  return first?.kind === 'text' && first.quote === '' && ASSIGNMENT.test(first.text);
}

/** All words of a command. */
export function wordsOf({ assignments, words, redirections }: Pick<ShellCommand, 'assignments' | 'words' | 'redirections'>): Word[] {
  return [...assignments, ...words, ...redirections.map(({ word }) => word)];
}

/** All words of commands, and of those within them. */
export function wordsWithin(commands: readonly ShellCommand[]): Word[] {
  return commands.flatMap((command) => {
    const words = wordsOf(command);
    return [...words, ...words.flatMap(({ parts }) => parts.flatMap((part) => (part.kind === 'commands' ? wordsWithin(part.script) : [])))];
  });
}
