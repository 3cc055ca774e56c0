import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';

/** What a command can have written in it in braces. */
export interface Placeholders {
  readonly model: string;
  readonly out: string;
  readonly trial: string;
  /** Empty where none is given out. */
  readonly gpu: string;
  /** Absent where there is none. */
  readonly server?: string;
}

/** A dollar before it makes it the shell's own variable. */
const PLACEHOLDER = /(?<!\$)\{([A-Za-z_]+)\}/g;
const PLAIN_WORD = /^[\w@%+=:,./{}-]+$/;

/** Text for a shell, or the words of a program and its arguments. */
export type CommandText = string | readonly string[];

/**
 * A command with its placeholders filled in, so that each value arrives as it is: quoted outside quotes,
 * escaped within. Where the model is written neither as `{model}` nor as `MERGE_MODEL`, it is appended if
 * `append` is set.
 */
export function fillPlaceholders(command: CommandText, values: Placeholders, append: boolean): CommandText {
  const known: Readonly<Record<string, string | undefined>> = { ...values };
  let named = false;
  const fill = (text: string, quote: (value: string, at: number) => string): string =>
    text.replace(PLACEHOLDER, (written, name: string, at: number) => {
      const value = Object.hasOwn(known, name) ? known[name] : undefined;
      if (value === undefined) return written;
      named ||= name === 'model';
      return quote(value, at);
    });
  if (typeof command !== 'string') {
    const words = command.map((word) => fill(word, (value) => value));
    return append && !named ? [...words, values.model] : words;
  }
  const contexts = quoting(command);
  const filled = fill(command, (value, at) => escaped(value, contexts[at]!));
  return append && !named && !command.includes('MERGE_MODEL') ? `${filled} ${shellQuote(values.model)}` : filled;
}

/**
 * Refuses names in braces that are misspelt placeholders: in a shell's text, any that stands outside quotes
 * in a word of letters, digits and punctuation, which a shell would take as it is; among words, one that is
 * nearly a placeholder. Braces of JSON, awk and shell variables pass.
 *
 * @param option that holds the command, for the message @param names that can be used there
 * @throws MergeError E_USAGE
 */
export function checkPlaceholders(option: string, command: CommandText, names: readonly (keyof Placeholders)[]): void {
  const contexts = typeof command === 'string' ? quoting(command) : null;
  for (const text of typeof command === 'string' ? [command] : command) {
    for (const match of text.matchAll(PLACEHOLDER)) {
      const name = match[1]!;
      if ((names as readonly string[]).includes(name)) continue;
      const near = didYouMean(name, names);
      if (contexts === null ? near === null : !inPlainWord(text, match.index, contexts)) continue;
      throw new MergeError('E_USAGE', `${option} has ${match[0]} in it, which stands for nothing`, {
        help: [
          ...(near === null ? [] : [`Did you mean {${near}}?`]),
          names.length === 0 ? 'There are no placeholders here.' : `There are ${names.map((known) => `{${known}}`).join(', ')}.`,
          `In quotes, any other {${name}} is left as it is.`,
        ].join(' '),
      });
    }
  }
}

/**
 * How a shell reads each character: `'` and `"` within such quotes, `\` after a backslash, `(` in a subshell
 * or `$(…)`, else empty.
 */
function quoting(command: string): string[] {
  const open = [''];
  const contexts: string[] = [];
  for (let i = 0; i < command.length; i++) {
    const inside = open.at(-1)!;
    const letter = command[i]!;
    contexts.push(inside);
    if (inside === "'") {
      if (letter === "'") open.pop();
    } else if (letter === '\\') {
      contexts.push('\\');
      i++;
    } else if (letter === '"') {
      if (inside === '"') open.pop();
      else open.push('"');
    } else if (letter === "'" && inside !== '"') open.push("'");
    else if (letter === '(' && (inside !== '"' || command[i - 1] === '$')) open.push('(');
    else if (letter === ')' && inside === '(') open.pop();
  }
  return contexts;
}

function escaped(value: string, context: string): string {
  if (context === "'") return value.replaceAll("'", `'\\''`);
  if (context === '"') return value.replace(/[\\"$`]/g, '\\$&');
  return shellQuote(value);
}

/** Whether the word around a character is one that no shell changes. */
function inPlainWord(command: string, at: number, contexts: readonly string[]): boolean {
  const ends = (i: number) => i < 0 || i >= command.length || /[\s;|&()<>]/.test(command[i]!);
  let [from, to] = [at, at];
  while (!ends(from - 1)) from--;
  while (!ends(to)) to++;
  return PLAIN_WORD.test(command.slice(from, to)) && contexts.slice(from, to).every((context) => context === '' || context === '(');
}
