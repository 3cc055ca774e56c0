import { type BenchOptions, benchMachine } from '../../bench/bench-machine.ts';
import { type Context, writeJson } from '../context.ts';
import { interruptible } from '../interrupt.ts';
import { benchText } from '../text/bench-text.ts';

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
