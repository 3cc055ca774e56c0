import { MergeError } from '../../base/errors.ts';
import { planDocument, type WatchEvent, type WatchOptions, type WatchSummary, watch } from '../../index.ts';
import type { MergeEvent } from '../../merge/engine/events.ts';
import type { Policy } from '../../recipe/policy/types.ts';
import { ADVICE } from '../../recipe/select/member-warnings.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { asFailure, errorDocument } from '../../render/error-text.ts';
import { isScored, scoresFolder } from '../../upkeep/watch/scores/options.ts';
import { mergedLine, treatmentText, watchLine } from '../../upkeep/watch/text.ts';
import { splitSelection } from '../options/merge-options.ts';
import { type Context, writeJson } from '../terminal/context.ts';
import { freshLine } from '../terminal/fresh-line.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { createProgress, type ProgressMode } from '../terminal/progress.ts';
import { whileServing } from '../terminal/serving.ts';

/** Options of `watch` as commander leaves them. */
interface WatchFlags
  extends Omit<WatchOptions, 'run' | 'output' | 'select' | 'window' | 'windows' | 'policies' | 'metrics'>,
    Pick<Selection, Exclude<keyof Selection, keyof WatchOptions | 'metrics'>> {
  readonly output?: string;
  /** Members of a window, which the library calls `last`; of several, `windows`. */
  readonly window?: readonly number[];
  readonly policy?: readonly Policy[];
  readonly metric?: WatchOptions['metrics'];
  readonly serve?: string;
  readonly serveTokenFile?: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly progress?: ProgressMode;
  readonly debug?: boolean;
}

/**
 * `merge watch`: a line on stdout for each merge, everything else on stderr. With `--once` the exit code is
 * that of the first round that failed.
 */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: WatchFlags): Promise<number> {
  const { terminal } = context;
  const { json, quiet } = flags;
  const options = watchOptions(args[0] as string, flags);
  const progress = createProgress(flags.progress ?? (quiet ? 'none' : 'auto'), terminal);
  let table = '';
  // A run is young once, and its windows are wide then: that is said once, and not to who wants paths alone.
  const advised = new Set<string>(quiet ? ADVICE : []);
  let hooked = false;
  const onEvent = (event: WatchEvent): void => {
    // Between this event and the one before it a hook has printed.
    if (hooked && flags.progress !== 'json') freshLine(terminal.err);
    hooked = event.type === 'hooking';
    if (event.type === 'merge' && flags.progress !== 'json') {
      if (!isAdviceAgain(event.event, advised)) progress.event(event.event);
      if (event.event.type !== 'plan' || quiet) return;
      const treatments = treatmentText(event.event.plan);
      if (treatments !== table) terminal.err.write(treatments);
      table = treatments;
      return;
    }
    if (event.type === 'strip' && event.event.type !== 'copy' && flags.progress !== 'json') {
      progress.event(event.event.event);
      return;
    }
    progress.end();
    if (flags.progress === 'json') terminal.err.write(`${JSON.stringify(eventDocument(event))}\n`);
    else if (!quiet || event.type === 'failed' || event.type === 'uncopied' || event.type === 'hook')
      terminal.err.write(watchLine(event, terminal.err.colors));
    if (event.type === 'merged' && !json) terminal.out.write(quiet ? `${event.output}\n` : mergedLine(event, terminal.out.colors));
  };
  try {
    // State and finished parts of a merge are kept in any case: the same command goes on from there.
    const { serve, serveTokenFile } = flags;
    const summary = await whileServing(terminal, servedFolder(options, flags), { serve, serveTokenFile, quiet }, () =>
      interruptible(terminal, (signal) => watch(options, { signal, onEvent }), [options.output]),
    );
    if (json) writeJson(context, summaryDocument(summary));
    return summary.failed[0]?.error.exitCode ?? 0;
  } finally {
    progress.end();
  }
}

/** Whether it is a warning that a mean may be worse than the newest alone, and one was said before. */
function isAdviceAgain(event: MergeEvent, said: Set<string>): boolean {
  if (event.type !== 'warning' || !ADVICE.has(event.warning.code)) return false;
  const before = said.has(event.warning.code);
  said.add(event.warning.code);
  return before;
}

/** The page of the scores is what there is to serve. @throws MergeError E_USAGE where there are none */
function servedFolder(options: WatchOptions, { serve }: WatchFlags): string {
  if (serve === undefined || isScored(options)) return scoresFolder(options);
  throw new MergeError('E_USAGE', '--serve shows the page of scores, and nothing is scored', {
    help: 'Add --eval or --scores, or leave it out.',
  });
}

function watchOptions(run: string, flags: WatchFlags): WatchOptions {
  const { output, window, policy, metric, json, quiet, progress, debug, serve, serveTokenFile, ...given } = flags;
  if (output === undefined) throw new MergeError('E_USAGE', 'no folder for the merges is given', { help: 'Name one with -o DIR.' });
  if (json && !given.once) {
    const help = 'Add --once, read history.jsonl in the folder of the merges, or use --progress json.';
    throw new MergeError('E_USAGE', '--json is one document at the end, and a watch has no end', { help });
  }
  const { select, rest } = splitSelection({ ...given, ...(window?.length === 1 ? { last: window[0]! } : {}) });
  return {
    ...rest,
    run,
    output,
    ...(select === undefined ? {} : { select }),
    ...(window !== undefined && window.length > 1 && { windows: window }),
    ...(policy === undefined ? {} : { policies: policy }),
    ...(metric === undefined ? {} : { metrics: metric }),
  };
}

function summaryDocument({ failed, ...summary }: WatchSummary): object {
  return { ...summary, failed: failed.map(({ checkpoint, error }) => ({ checkpoint, code: error.code, message: error.message })) };
}

/** A line of `--progress json`: plans as documents, errors as such. */
function eventDocument(event: WatchEvent): object {
  if (event.type === 'failed' || event.type === 'uncopied') return { ...event, error: errorDocument(asFailure(event.error)) };
  if (event.type === 'strip' && event.event.type === 'merge' && event.event.event.type === 'plan')
    return { type: 'strip', event: { type: 'merge', event: { type: 'plan', plan: planDocument(event.event.event.plan) } } };
  if (event.type !== 'merge' || event.event.type !== 'plan') return event;
  return { type: 'merge', event: { type: 'plan', plan: planDocument(event.event.plan) } };
}
