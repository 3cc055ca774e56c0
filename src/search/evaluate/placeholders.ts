import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { type Mark, NotUnderstood, type Quote, readShell, type Word, wordsWithin } from '../../base/process/shell-script.ts';
import { ReadAgain, refuseReadAgain } from './read-again.ts';

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

type Name = keyof Placeholders;

/** The environment variable of each. */
const VARIABLES: Readonly<Record<Name, string>> = {
  model: 'MERGE_MODEL',
  out: 'MERGE_OUT',
  trial: 'MERGE_TRIAL',
  gpu: 'MERGE_GPU',
  server: 'MERGE_SERVER',
};
const GIVEN: ReadonlySet<string> = new Set([...Object.values(VARIABLES), 'MERGE_RESULT']);

/** A dollar before it makes it the shell's own variable. */
const PLACEHOLDER = /(?<!\$)\{([A-Za-z_]+)\}/g;
const PLAIN_WORD = /^[\w@%+=:,./{}-]+$/;

/** Text for a shell, or the words of a program and its arguments. */
export type CommandText = string | readonly string[];

/**
 * A command with its placeholders filled in, so that each value arrives as it is: among words as a part of
 * its word, in a shell's text as the environment variable that has it, within the quotes that the place asks
 * for, so that no shell ever reads a value. Where the model is written neither as `{model}` nor as
 * `MERGE_MODEL`, it is appended if `append` is set.
 *
 * @param command that {@link checkPlaceholders} let pass
 */
export function fillPlaceholders(
  command: CommandText,
  values: Partial<Placeholders> & Pick<Placeholders, 'model'>,
  append: boolean,
): CommandText {
  const names = (Object.keys(VARIABLES) as Name[]).filter((name) => values[name] !== undefined);
  if (typeof command !== 'string') {
    let named = false;
    const words = command.map((word) =>
      word.replace(PLACEHOLDER, (written, name: string) => {
        if (!isOne(name, names)) return written;
        named ||= name === 'model';
        return values[name]!;
      }),
    );
    return append && !named ? [...words, values.model] : words;
  }
  const text = completed(command, append);
  let filled = '';
  let end = 0;
  for (const { mark, name, quote } of safePlaces('the command', text, names, command.length)) {
    const variable = `\${${VARIABLES[name]}}`;
    filled += text.slice(end, mark.at) + (quote === '"' ? variable : quote === "'" ? `'"${variable}"'` : `"${variable}"`);
    end = mark.end;
  }
  return filled + text.slice(end);
}

/**
 * Refuses placeholders that would not arrive as they are, by where they stand and whatever their values, and
 * names in braces that are misspelt placeholders: in a shell's text, any that stands outside quotes in a word
 * of letters, digits and punctuation, which a shell would take as it is; among words, one that is nearly a
 * placeholder. Braces of JSON, awk and shell variables pass.
 *
 * @param option that holds the command, for the message @param names that can be used there
 * @param append whether the model is appended where the text does not name it
 * @throws MergeError E_USAGE for a name that is none, E_OPTION for a place that is not safe
 */
export function checkPlaceholders(option: string, command: CommandText, names: readonly Name[], append = false): void {
  for (const text of typeof command === 'string' ? [command] : command) {
    const plain = typeof command === 'string' ? plainMarks(text) : null;
    for (const match of text.matchAll(PLACEHOLDER)) {
      const name = match[1]!;
      if (isOne(name, names)) continue;
      const near = didYouMean(name, names);
      if (plain === null ? near === null : !plain.has(match.index)) continue;
      throw new MergeError('E_USAGE', `${option} has ${match[0]} in it, which stands for nothing`, {
        help: [
          ...(near === null ? [] : [`Did you mean {${near}}?`]),
          names.length === 0 ? 'There are no placeholders here.' : `There are ${names.map((known) => `{${known}}`).join(', ')}.`,
          `In quotes, any other {${name}} is left as it is.`,
        ].join(' '),
      });
    }
  }
  if (typeof command === 'string') safePlaces(option, completed(command, append), names, command.length);
}

function isOne(name: string, names: readonly Name[]): name is Name {
  return (names as readonly string[]).includes(name);
}

/** The text, with the model behind it where it has to be appended. */
function completed(command: string, append: boolean): string {
  if (!append || command.includes('MERGE_MODEL') || [...command.matchAll(PLACEHOLDER)].some(([, name]) => name === 'model')) return command;
  const text = command.trimEnd();
  // A backslash would make a blank a part of the word.
  return text.endsWith('\\') ? `${text}{model}` : `${text} {model}`;
}

interface Place {
  readonly mark: Mark;
  readonly name: Name;
  readonly quote: Quote;
}

/**
 * Where the placeholders stand, in order.
 * @param written length of what the user wrote: what stands behind it was appended
 * @throws MergeError E_OPTION where one would not arrive as it is
 */
function safePlaces(option: string, text: string, names: readonly Name[], written = text.length): Place[] {
  const found = [...text.matchAll(PLACEHOLDER)].flatMap(({ 0: written, 1: name = '', index: at }) =>
    isOne(name, names) ? [{ name, mark: { at, end: at + written.length } }] : [],
  );
  if (found.length === 0) return [];
  const refused = (name: Name, why: string): MergeError => unsafe(option, name, why, safeForm(why, name));
  try {
    const marks = found.map(({ mark }) => mark);
    const { commands, elsewhere } = readShell(text, marks);
    const words = wordsWithin(commands);
    const places = found.map(({ mark, name }): Place => {
      const where = elsewhere.get(mark);
      // What is written there is the name of a variable, and nobody reads it.
      if (where === 'a comment' && mark.at < written) return { mark, name, quote: '"' };
      if (where !== undefined) throw refused(name, `stands in ${where}`);
      for (const word of words) {
        const part = word.parts.find((part) => part.kind === 'mark' && part.mark === mark);
        if (part === undefined) continue;
        if (hasBraces(word)) throw refused(name, 'stands in a word with other braces, which some shells expand');
        return { mark, name, quote: part.quote };
      }
      throw refused(name, 'stands where it cannot be told how a shell reads it');
    });
    refuseReadAgain(commands, new Set(marks), GIVEN);
    return places;
  } catch (error) {
    const { name } = found[0]!;
    if (error instanceof ReadAgain && error.unquoted !== null) {
      const variable = `$${error.unquoted}`;
      const why = `reaches ${variable}, which a shell takes apart outside double quotes`;
      throw unsafe(option, name, why, `Write "${variable}", in double quotes, wherever it is used.`);
    }
    if (error instanceof ReadAgain) throw refused(name, `${READ_AGAIN}: ${error.message}`);
    if (error instanceof NotUnderstood) throw refused(name, `cannot be quoted safely in a text with ${error.message}`);
    throw error;
  }
}

function unsafe(option: string, name: Name, why: string, form: string): MergeError {
  return new MergeError('E_OPTION', `${option}: {${name}} ${why}`, {
    details: { option, placeholder: name },
    help: `Nothing was run. ${form} In the library, a list of words needs no quoting: ['python', 'eval.py', '{${name}}'].`,
  });
}

const READ_AGAIN = 'would be read again as a command or code';

/** What to write instead: a form that arrives where the value has to go. */
function safeForm(why: string, name: Name): string {
  const variable = VARIABLES[name];
  if (/: (?:ssh|slogin|rsh|mosh)$/.test(why))
    return `The other machine has none of these variables: hand it over as input, printf '%s\\n' "$${variable}" | ssh HOST 'IFS= read -r ${name}; python eval.py "$${name}"'.`;
  if (/: (?:python|pypy)[\d.]* -\w*c/.test(why)) return `Let the code read it: os.environ["${variable}"] after import os.`;
  if (why.includes('a here-document'))
    return `In a here-document for a program write $${variable}; for a shell begin it with <<'EOF' and write "$${variable}" in double quotes.`;
  if (why.startsWith(READ_AGAIN))
    return (
      `"$${variable}" alone would be read again just so. Put the command into a script that uses "$${variable}", or write the text ` +
      `that is read again within single quotes, with the variable and its double quotes in it: sh -c 'python eval.py "$${variable}"'. ` +
      `Where the environment does not reach, as in a container: sh -c '… "$1" …' sh {${name}}.`
    );
  return (
    `Write "$${variable}" in its place, in double quotes: it is in the environment of the command, also of ` +
    `sh -c '… "$${variable}" …' within single quotes and of a script of your own. Where the environment does not reach, as in ` +
    `a container: sh -c '… "$1" …' sh {${name}}.`
  );
}

function hasBraces({ parts }: Word): boolean {
  return parts.some((part) => part.kind === 'text' && part.quote === '' && /[{}]/.test(part.text));
}

/** Where names in braces stand outside quotes, in words that no shell changes; none in a text that is not understood. */
function plainMarks(text: string): ReadonlySet<number> {
  const marks = [...text.matchAll(PLACEHOLDER)].map(({ 0: written, index: at }) => ({ at, end: at + written.length }));
  try {
    const words = wordsWithin(readShell(text, marks).commands).filter(({ at, end }) => PLAIN_WORD.test(text.slice(at, end)));
    return new Set(words.flatMap(({ parts }) => parts.flatMap((part) => (part.kind === 'mark' ? [part.mark.at] : []))));
  } catch (error) {
    if (error instanceof NotUnderstood) return new Set();
    throw error;
  }
}
