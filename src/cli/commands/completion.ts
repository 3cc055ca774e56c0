import { bashScript } from '../completion/bash.ts';
import { fishScript } from '../completion/fish.ts';
import { completionTree } from '../completion/tree.ts';
import { zshScript } from '../completion/zsh.ts';
import { buildProgram, type SHELLS } from '../options/program.ts';
import type { Context } from '../terminal/context.ts';

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript };

/** `merge completion SHELL`: a static script, so that completing never starts Node. */
export async function run({ terminal, version }: Context, args: readonly (string | readonly string[])[]): Promise<number> {
  const tree = completionTree(buildProgram(version, 'merge', async () => {}));
  terminal.out.write(SCRIPTS[args[0] as (typeof SHELLS)[number]](tree));
  return 0;
}
