import { verificationText } from '../../analysis/verify/text.ts';
import { MergeError } from '../../base/errors.ts';
import { verify } from '../../index.ts';
import { type Context, writeJson } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { createProgress, type ProgressMode } from '../terminal/progress.ts';

interface VerifyFlags {
  readonly full?: boolean;
  readonly sample?: number;
  readonly input?: readonly string[];
  readonly ranks?: string;
  readonly rankTimeout?: number;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly progress?: ProgressMode;
}

/** `merge verify`. A mismatch is thrown by the library as E_VERIFY. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: VerifyFlags): Promise<number> {
  const { terminal } = context;
  if (flags.full && flags.sample !== undefined) throw new MergeError('E_USAGE', '--full and --sample cannot be used together');
  const progress = createProgress(flags.progress ?? (flags.quiet ? 'none' : 'auto'), terminal);
  try {
    const report = await interruptible(terminal, (signal) =>
      verify(args[0] as string, {
        ...(flags.full ? { full: true } : {}),
        ...(flags.sample === undefined ? {} : { sample: flags.sample }),
        ...(flags.input === undefined ? {} : { inputs: flags.input }),
        ranks: flags.ranks,
        rankTimeout: flags.rankTimeout,
        signal,
        onProgress: (event) => progress.event(event),
      }),
    );
    progress.end();
    for (const warning of report.warnings) progress.warn(warning);
    if (flags.json) writeJson(context, report);
    else if (!flags.quiet) terminal.out.write(verificationText(report, terminal.out.colors));
    return 0;
  } finally {
    progress.end();
  }
}
