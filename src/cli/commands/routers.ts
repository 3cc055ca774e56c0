import { writeFile } from 'node:fs/promises';
import { toMergeError } from '../../publish/io-error.ts';
import { type RoutersOptions, type RoutersProgress, routers } from '../../routers/routers.ts';
import type { Selection } from '../../trajectory/types.ts';
import { type Context, writeJson } from '../context.ts';
import { warningText } from '../error-text.ts';
import { parseInputs } from '../inputs.ts';
import { interruptible } from '../interrupt.ts';
import { splitSelection } from '../run-options.ts';
import { routersText } from '../text/routers-text.ts';

interface RoutersFlags extends Omit<RoutersOptions, 'inputs' | 'select'>, Selection {
  readonly out?: string;
  readonly json?: boolean;
}

/** `merge routers`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: RoutersFlags): Promise<number> {
  const { out, err } = context.terminal;
  const { json, out: page, ...given } = flags;
  const { select, rest } = splitSelection(given);
  const inputs = parseInputs(args[0] as readonly string[], flags.weights !== undefined);
  const options = { ...rest, inputs, ...(select === undefined ? {} : { select }) };
  let drawn = false;
  const draw = (text: string) => {
    if (err.tty) err.write(`\r${text}\u001b[K`);
    drawn = err.tty;
  };
  const onProgress = (progress: RoutersProgress) => {
    if (progress.type === 'layer') draw(`layer ${progress.done} of ${progress.total}`);
    // An evaluator prints on stderr as well: what it belongs to stands above it.
    else err.write(`${drawn ? '\r\u001b[K' : ''}${progress.text}\n`);
  };
  const report = await interruptible(context.terminal, (signal) => routers(options, { signal, onProgress }));
  if (drawn) err.write('\r\u001b[K');
  for (const warning of report.warnings) err.write(warningText(warning, err.colors));
  if (page !== undefined) {
    const { routersPage } = await import('../../html/routers-page.ts');
    try {
      await writeFile(page, routersPage(report));
    } catch (error) {
      throw toMergeError(error, { action: 'write', file: page, side: 'output' });
    }
  }
  if (json) writeJson(context, report);
  else out.write(routersText(report, out.colors));
  return 0;
}
