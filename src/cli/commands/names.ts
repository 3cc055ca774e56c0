import { MergeError } from '../../base/errors.ts';
import { BUILT_IN, builtInTables, builtInText } from '../../recipe/names/read.ts';
import type { Context } from '../terminal/context.ts';

/** `merge names`: the tables that there are, or the text of one. */
export async function run({ terminal }: Context, args: readonly unknown[]): Promise<number> {
  const [wanted] = args as readonly (string | undefined)[];
  if (wanted !== undefined) {
    const name = BUILT_IN.find((one) => one === wanted);
    if (name === undefined) {
      throw new MergeError('E_OPTION', `there is no table ${wanted}`, { help: `There are ${BUILT_IN.join(', ')}.` });
    }
    terminal.out.write(builtInText(name));
    return 0;
  }
  const width = Math.max(...BUILT_IN.map((name) => name.length));
  for (const { name, models = [] } of await builtInTables()) terminal.out.write(`${name.padEnd(width)}  ${models.join(', ')}\n`);
  return 0;
}
