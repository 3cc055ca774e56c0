/** Options of the library that are called otherwise than on the command line in camel case. */
const RENAMED: Readonly<Record<string, string>> = {
  policy: 'policies',
  metric: 'metrics',
  'validate-metric': 'validateMetrics',
  input: 'inputs',
};

/** The other way round, with what the command line has another word for and recipes have not. */
const ON_COMMAND_LINE: Readonly<Record<string, string>> = {
  ...Object.fromEntries(Object.entries(RENAMED).map(([option, property]) => [property, option])),
  path: 'output',
};

/** Who reads what this process says; options have another spelling for each of them. */
export type Reader = 'library' | 'command line' | 'recipe';

let reader: Reader = 'library';
let beside: ReadonlySet<string> = new Set();

/**
 * Says who reads from here on: a process has one reader, which the command line sets before anything else.
 * @param options of a recipe's reader: what no recipe holds, and is given beside it on the command line, as
 * there
 */
export function speakTo(who: Reader, options: readonly string[] = []): void {
  reader = who;
  beside = new Set(options);
}

/** Who reads what this process says, as {@link speakTo} takes it: for a process that speaks in its place. */
export function spokenTo(): { readonly who: Reader; readonly options: readonly string[] } {
  return { who: reader, options: [...beside] };
}

/** What `work` says, in the words of another reader: of what is written in a recipe, whoever has it read. */
export function speaking<T>(who: Reader, work: () => T): T {
  const [usual, also] = [reader, beside];
  speakTo(who);
  try {
    return work();
  } finally {
    [reader, beside] = [usual, also];
  }
}

/**
 * An option's name as whoever reads a message writes it: `--min-members` on the command line, `min-members`
 * in a recipe, `minMembers` in the library.
 * @param name as in the library
 */
export function optionName(name: string): string {
  if (reader === 'library') return name;
  const other = reader === 'command line' ? ON_COMMAND_LINE[name] : undefined;
  return spelled(other ?? name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`));
}

/** An option with its value: `--for resume`, `for: resume`. */
export function optionWith(name: string, value: string | number): string {
  return `${optionName(name)}${reader === 'command line' ? '' : ':'} ${value}`;
}

/** A command or another program's option in backquotes, or an option of the command line outside them. */
const OPTION = /`[^`]*`|(?<![\w-])--([a-z][a-z\d]*(?:-[a-z\d]+)*)(?![\w-])/g;

/**
 * A text that names options as the command line has them (`--allow-stages`), as whoever reads it writes them.
 * What stands in backquotes stays: it is a command, or an option of another program.
 */
export function inReadersWords(text: string): string {
  return text.replace(OPTION, (written, name?: string) => (name === undefined ? written : spelled(name)));
}

/** The same of a template; what is filled in stays as it is, be it a path with dashes. */
export function worded(texts: TemplateStringsArray, ...values: readonly unknown[]): string {
  return String.raw({ raw: texts.map(inReadersWords) }, ...values);
}

/** @param dashed a name with dashes inside, and none before it */
function spelled(dashed: string): string {
  if (reader === 'library') return `\`${RENAMED[dashed] ?? dashed.replace(/-([a-z\d])/g, (_, letter: string) => letter.toUpperCase())}\``;
  return reader === 'recipe' && !beside.has(dashed) ? dashed : `--${dashed}`;
}
