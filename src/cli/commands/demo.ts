import { formatTable } from '../../render/format.ts';
import { searchText } from '../../search/optimise/text.ts';
import { studyLine } from '../../search/study/text.ts';
import { runDemo } from '../demo/run-demo.ts';
import type { SearchDemoResult } from '../demo/search-demo.ts';
import type { Context } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';

/** `merge demo`, `merge demo search`. */
export async function run({ terminal }: Context, args: readonly unknown[], { output }: { readonly output?: string }): Promise<number> {
  const { out } = terminal;
  const onLine = (line: string) => out.write(`${line}\n`);
  if (args[0] === undefined) {
    await interruptible(terminal, (signal) => runDemo({ output, signal, onLine }));
    return 0;
  }
  const { runSearchDemo } = await import('../demo/search-demo.ts');
  onLine(
    'A byte-level Llama of 155,072 parameters, trained on the King James Bible at a constant learning rate (demo/README.md). How many of its last ten',
  );
  onLine(
    'checkpoints should be averaged, and with which weights? Twelve recipes are tried; lower is better, in nats per byte of text that no checkpoint saw.',
  );
  onLine('');
  const onEvent = (event: Parameters<typeof studyLine>[0]) => out.write(studyLine(event, out.colors));
  const result = await interruptible(terminal, (signal) => runSearchDemo({ output, signal, onEvent }));
  onLine('');
  out.write(searchText(result.document, out.colors));
  out.write(secondSlice(result));
  if (output !== undefined) onLine(`the best merge is in ${output}, and all of the search in ${output}.search`);
  return 0;
}

function secondSlice({ scores }: SearchDemoResult): string {
  const rows = scores.map(({ name, loss, gain }) => [
    name,
    loss.toFixed(4),
    gain === null ? '' : `${gain.mean.toFixed(4)} ± ${gain.standardError.toFixed(4)} better than the newest`,
  ]);
  const table = formatTable(rows, ['left', 'right', 'left']).map((row) => `  ${row}`);
  return `\non a second slice of text, which the search never saw:\n${table.join('\n')}\n`;
}
