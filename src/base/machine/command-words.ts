import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { MergeError } from '../errors.ts';
import { optionName } from '../option-words.ts';
import { NotUnderstood, readShell, type Word } from '../process/shell-script.ts';

/**
 * The words of a command that is started without a shell: a text is cut into words as a shell would, and
 * nothing in it is expanded.
 * @param name of the option, as the library has it
 * @throws MergeError E_OPTION for what only a shell could carry out, and where there is no such program
 */
export function commandWords(command: string | readonly string[], name: string): readonly string[] {
  const words = typeof command === 'string' ? split(command, name) : command;
  const [program = ''] = words;
  if (program === '') throw new MergeError('E_OPTION', `${optionName(name)} is empty`);
  if (words.some((word) => word.includes('\0'))) throw new MergeError('E_OPTION', `${optionName(name)} holds a NUL character`);
  if (!isProgram(program)) {
    throw new MergeError('E_OPTION', `${optionName(name)}: there is no program ${program} here`, {
      help: program.includes('/') ? 'Check the path, and that it may be executed.' : 'Load its module, or give its whole path.',
    });
  }
  return words;
}

function split(text: string, name: string): readonly string[] {
  try {
    const { commands } = readShell(text, []);
    const [only, ...others] = commands;
    if (only === undefined) return [];
    const [first, last] = [only.words[0], only.words.at(-1)];
    const around = first === undefined ? '' : text.slice(0, first.at) + text.slice(last!.end);
    if (others.length > 0 || only.kind !== 'simple' || only.redirections.length > 0) throw new NotUnderstood('more than one plain command');
    if (only.assignments.length > 0) throw new NotUnderstood('a variable that is set in front of it');
    if (around.trim() !== '') throw new NotUnderstood('more than one plain command');
    return only.words.map(plain);
  } catch (error) {
    if (!(error instanceof NotUnderstood)) throw error;
    throw new MergeError('E_OPTION', `${optionName(name)} is started without a shell, and has ${error.message}: ${text}`, {
      help: 'Name one program with its arguments, as \'srun -N 8\'; for more write a script that ends with "$@", and name that. `env NAME=value …` sets a variable.',
    });
  }
}

function plain({ parts }: Word): string {
  return parts
    .map((part) => {
      if (part.kind !== 'text') throw new NotUnderstood('something to be expanded');
      return part.text;
    })
    .join('');
}

function isProgram(name: string): boolean {
  if (name.includes('/')) return isExecutable(name);
  return (process.env.PATH ?? '').split(delimiter).some((folder) => isExecutable(join(folder === '' ? '.' : folder, name)));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
