import { errnoOf } from '../base/disk/errno.ts';
import { speakTo } from '../base/option-words.ts';
import { launchedRank } from '../base/process/rank.ts';
import type { MergeEvent, MergeResult } from '../merge/engine/events.ts';
import { launchId } from '../merge/launch/launch.ts';
import { messageWriter, type RankMessage } from '../merge/launch/messages.ts';
import { isWanted, readOrder, removeOrder, type WrittenOrder } from '../merge/launch/order.ts';
import { orderEvents } from '../merge/launch/rank.ts';
import { asFailure } from '../render/error-text.ts';
import type { Terminal } from './terminal/terminal.ts';

/** Milliseconds between two looks whether the merge is still wanted, and between two reports of progress. */
const LOOK_MS = 500;
const REPORT_MS = 200;

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/**
 * A process that a launcher started for a merge of another one: makes its share of the order, and tells of it
 * in lines on stdout.
 * @param argv path and digest of the order @returns the exit code
 */
export async function runLaunched([path = '', digest = '']: readonly string[], terminal: Terminal): Promise<number> {
  const order: WrittenOrder = { path, digest };
  const written = messageWriter(launchId(order));
  const say = (message: RankMessage) => terminal.out.write(written(message));
  const stop = new AbortController();
  const onSignal = (signal: NodeJS.Signals) => {
    // The second one takes its default course.
    for (const name of Object.keys(SIGNALS)) process.removeListener(name, onSignal);
    stop.abort(signal);
  };
  for (const name of Object.keys(SIGNALS)) process.on(name, onSignal);
  // Nobody is left to read what a rank says: the merge is not wanted any more.
  process.stdout.on('error', (error) => {
    if (errnoOf(error) === 'EPIPE') void removeOrder(order);
  });
  const looking = setInterval(async () => {
    if (!(await isWanted(path))) stop.abort('SIGTERM');
  }, LOOK_MS);
  try {
    const rank = launchedRank(process.env);
    say({ type: 'begun', rank: rank?.rank ?? null, size: rank?.size ?? 1 });
    const read = await readOrder(order);
    speakTo(read.reader.who, read.reader.options);
    process.chdir(read.folder);
    const isFirst = rank === null || rank.rank === 0;
    const result = await told(orderEvents(read, rank, stop.signal), (event) => {
      if (isFirst || event.type === 'kept') say({ type: 'event', event });
    });
    say({ type: 'result', result });
    return 0;
  } catch (error) {
    if (stop.signal.aborted && error === stop.signal.reason) {
      say({ type: 'stopped', signal: String(error) });
      return SIGNALS[error as keyof typeof SIGNALS];
    }
    const { code, message, details, help, exitCode } = asFailure(error);
    say({ type: 'failed', error: { code, message, details, help } });
    return exitCode;
  } finally {
    clearInterval(looking);
  }
}

/** Events to the end of them, as many as somebody looks at. */
async function told(events: AsyncGenerator<MergeEvent, MergeResult>, tell: (event: MergeEvent) => void): Promise<MergeResult> {
  let [last, phase] = [Number.NEGATIVE_INFINITY, ''];
  for (;;) {
    const { done, value } = await events.next();
    if (done) return value;
    if (value.type === 'progress') {
      if (value.phase === phase && performance.now() - last < REPORT_MS) continue;
      [last, phase] = [performance.now(), value.phase];
    }
    // The plan is known where the order comes from, and the result is told on its own.
    if (value.type !== 'plan' && value.type !== 'done') tell(value);
  }
}
