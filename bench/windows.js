/**
 * Eight windows of ten over seventeen checkpoints from one read, against eight runs of one window each: reads alone say 80/17 = 4.7. A quarter of the size, so
 * that eight outputs are not limited by how much unwritten data the system lets a process have.
 */
import { rmSync } from 'node:fs';
import { setName } from './support/context.js';
import { interleaved, spread, summaries, summary, table, timed } from './support/measure.js';
import { mergeMany } from './support/merge.js';

const WINDOWS = 8;
const MEMBERS = 10;
const CHECKPOINTS = MEMBERS + WINDOWS - 1;

/** @param {import('./support/context.js').Context} context */
export default async function windows(context) {
  const bytes = context.size / 4;
  const checkpoints = await context.llamas(CHECKPOINTS, { bytes });
  const inputs = checkpoints.map((c) => c.dir);
  const weights = Array.from({ length: MEMBERS }, () => 1 / MEMBERS);
  const recipe = (/** @type {number} */ k) => ({
    path: context.output(),
    weights,
    members: Array.from({ length: MEMBERS }, (_, i) => k + i),
  });
  const all = Array.from({ length: WINDOWS }, (_, k) => k);
  /** @param {(outputs: ReturnType<typeof recipe>[]) => Promise<void>} make */
  const contestant = (make) => async () => {
    const outputs = all.map(recipe);
    const seconds = await timed(() => make(outputs));
    for (const { path } of outputs) rmSync(path, { recursive: true, force: true });
    return seconds;
  };
  const seconds = await interleaved(
    context.rounds,
    {
      together: contestant((outputs) => mergeMany({ inputs, outputs })),
      separate: contestant(async (outputs) => {
        for (const output of outputs) await mergeMany({ inputs, outputs: [output] });
      }),
    },
    () => context.prime(WINDOWS * bytes),
  );
  context.discard(setName('BF16', bytes));
  const [together, separate] = [summary(seconds.together), summary(seconds.separate)];
  const ratio = separate.median / together.median;
  const [readsTogether, readsSeparate] = [CHECKPOINTS, WINDOWS * MEMBERS];
  table([
    { what: `${WINDOWS} windows of ${MEMBERS} in one run`, seconds: spread(together), 'checkpoints read': readsTogether, ratio: 1 },
    { what: `${WINDOWS} runs of one window each`, seconds: spread(separate), 'checkpoints read': readsSeparate, ratio },
  ]);
  return {
    windows: WINDOWS,
    members: MEMBERS,
    checkpoints: CHECKPOINTS,
    ratio,
    readRatio: readsSeparate / readsTogether,
    seconds: summaries(seconds),
  };
}
