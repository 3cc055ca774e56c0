import { benchMachine } from '../../bench/bench-machine.ts';
import { type Context, writeJson } from '../context.ts';
import { interruptible } from '../interrupt.ts';

interface BenchFlags {
  readonly dir?: string;
  readonly size?: number;
  readonly inputs?: number;
  readonly threads?: number;
  readonly json?: boolean;
}

/** `merge bench`. */
export async function run(context: Context, _args: readonly unknown[], { json, dir, ...flags }: BenchFlags): Promise<number> {
  const { out } = context.terminal;
  const onLine = (line: string) => {
    if (!json) out.write(`${line}\n`);
  };
  const folder = dir === undefined ? {} : { folder: dir };
  const report = await interruptible(context.terminal, (signal) => benchMachine({ ...flags, ...folder, signal, onLine }));
  if (json) writeJson(context, report);
  return 0;
}
