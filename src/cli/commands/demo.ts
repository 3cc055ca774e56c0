import { runDemo } from '../../demo/run-demo.ts';
import type { Context } from '../context.ts';

/** `merge demo`. */
export async function run({ terminal }: Context): Promise<number> {
  await runDemo({ onLine: (line: string) => terminal.out.write(`${line}\n`) });
  return 0;
}
