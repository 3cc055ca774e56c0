/** Options of the library that are called otherwise than on the command line in camel case. */
const RENAMED: Readonly<Record<string, string>> = {
  policy: 'policies',
  metric: 'metrics',
  'validate-metric': 'validateMetrics',
  input: 'inputs',
};

/** A command or another program's option in backquotes, or an option of the command line outside them. */
const OPTION = /`[^`]*`|(?<![\w-])--([a-z][a-z\d]*(?:-[a-z\d]+)*)(?![\w-])/g;

/**
 * A text that names options as the command line has them (`--allow-stages`), for callers of the library, who write
 * `allowStages`. What stands in backquotes stays: it is a command, or an option of another program.
 */
export function inLibraryWords(text: string): string {
  return text.replace(OPTION, (written, name?: string) =>
    name === undefined ? written : `\`${RENAMED[name] ?? name.replace(/-([a-z\d])/g, (_, letter: string) => letter.toUpperCase())}\``,
  );
}
