import { basename, dirname, resolve } from 'node:path';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { positionFromName } from '../../checkpoints/names.ts';
import { memberName, relativeMemberPath } from '../record/member-path.ts';
import type { MergedOutput } from './events.ts';

/** Members from which on the run is named that holds them. */
const MANY = 4;

/**
 * The command that checks an output, and recomputes it: with the inputs, where the output does not say where
 * they are (a file of safetensors never does, and a folder, or the record beside a file of torch.save, only
 * where the way there is nobody's business).
 * @param invocation how the program is called here
 */
export function verifyCommand({ path, members }: Pick<MergedOutput, 'path' | 'members'>, invocation: string): string {
  const command = `${invocation} verify ${shellQuote(path)}`;
  const parent = dirname(resolve(path));
  const inputs = members.map((member) => member.path);
  const isFile = path.endsWith('.safetensors');
  const isFound = (input: string): boolean => {
    if (!isFile && relativeMemberPath(parent, input) !== null) return true;
    const name = memberName(input);
    return [name, basename(name)].some((beside) => resolve(parent, beside) === resolve(input));
  };
  if (inputs.every(isFound)) return command;
  return [command, '--input', ...toName(inputs).map(shellQuote)].join(' ');
}

/** The run that holds all of them, where they are many and its steps; else each. */
function toName(inputs: readonly string[]): readonly string[] {
  const folder = dirname(inputs[0]!);
  const isStep = (path: string) => dirname(path) === folder && positionFromName(basename(path).replace(/\.\w+$/, '')) !== null;
  return inputs.length >= MANY && inputs.every(isStep) ? [folder] : inputs;
}
