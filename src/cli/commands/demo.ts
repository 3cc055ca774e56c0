import { runDemo } from '../../demo/run-demo.ts';
import type { Context } from '../context.ts';
import { interruptible } from '../interrupt.ts';

/** `merge demo`. */
export async function run({ terminal }: Context, _args: readonly unknown[], { output }: { readonly output?: string }): Promise<number> {
  const onLine = (line: string) => terminal.out.write(`${line}\n`);
  await interruptible(terminal, (signal) => runDemo({ output, signal, onLine }));
  return 0;
}
