import { type BenchOptions, benchMachine } from '../../analysis/bench/bench-machine.ts';
import { benchText } from '../../analysis/bench/text.ts';
import { type Context, writeJson } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';

interface BenchFlags extends Pick<BenchOptions, 'inputs' | 'rounds' | 'threads' | 'io'> {
  readonly dir?: string;
  readonly size?: number;
  readonly json?: boolean;
}

/** `merge bench`. */
export async function run(context: Context, _args: readonly unknown[], { json, dir, size, ...flags }: BenchFlags): Promise<number> {
  const { out, err } = context.terminal;
  const { inputs, rounds, threads, io } = flags;
  const onRound = (round: number, of: number) => err.write(`round ${round} of ${of}\n`);
  const report = await interruptible(context.terminal, (signal) =>
    benchMachine({ folder: dir, bytes: size, inputs, rounds, threads, io, signal, onRound }),
  );
  if (json) writeJson(context, report);
  else out.write(benchText(report, out.colors));
  return 0;
}
