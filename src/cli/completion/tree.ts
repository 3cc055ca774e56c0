import type { Command, Option } from 'commander';

/**
 * Both names of the program. Completing `merge` replaces what a shell ships for the RCS tool of that name.
 */
export const PROGRAMS = ['merge', 'ckpt-merge'] as const;

/** What a word can be completed with: a fixed list, paths, or nothing that is known. */
export type Values = readonly string[] | 'path' | 'free' | null;

export interface CompletionOption {
  readonly names: readonly string[];
  readonly description: string;
  /** null for an option without a value. */
  readonly values: Values;
}

export interface CompletionCommand {
  readonly name: string;
  readonly description: string;
  readonly options: readonly CompletionOption[];
  /** What its positional arguments complete to. */
  readonly values: Values;
}

export interface CompletionTree {
  readonly commands: readonly CompletionCommand[];
  readonly options: readonly CompletionOption[];
}

/** The command tree as completion scripts need it. */
export function completionTree(program: Command): CompletionTree {
  const commands = program.commands.map((command): CompletionCommand => {
    const [argument] = command.registeredArguments;
    return {
      name: command.name(),
      description: command.description(),
      options: optionsOf(command),
      values: argument === undefined ? 'free' : (argument.argChoices ?? 'path'),
    };
  });
  const help: CompletionCommand = { name: 'help', description: 'help for a command', options: [], values: commands.map((c) => c.name) };
  return { commands: [...commands, help], options: optionsOf(program) };
}

function optionsOf(command: Command): CompletionOption[] {
  return command
    .createHelp()
    .visibleOptions(command)
    .map((option) => ({
      names: [option.short, option.long].filter((name) => name !== undefined),
      description: option.description.replace(/ \((default: .*|required)\)$/, ''),
      values: valuesOf(option),
    }));
}

function valuesOf(option: Option): Values {
  if (!option.required) return null;
  if (option.argChoices !== undefined) return option.argChoices;
  return /<path(\.\.\.)?>$/.test(option.flags) ? 'path' : 'free';
}

/**
 * A literal word. All three shells read single quotes alike as long as there is none inside, so an apostrophe
 * becomes a typographic one.
 */
export function quote(text: string): string {
  return `'${text.replaceAll("'", '’')}'`;
}
