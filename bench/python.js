/** A merge and a plan through Python against the command line, and what `import ckpt_merge` takes. */
import { fileURLToPath } from 'node:url';
import { run } from './support/child.js';
import { interleaved, spread, summary, table } from './support/measure.js';

const BIN = fileURLToPath(new URL('../bin/merge.js', import.meta.url));
const RUN = fileURLToPath(new URL('../demo/runs/dense', import.meta.url));
const PACKAGE = fileURLToPath(new URL('../python', import.meta.url));
const GOALS_MS = { merge: 300, plan: 300, import: 30 };

/** @param {import('./support/context.js').Context} context */
export default async function python(context) {
  const here = `import sys; sys.path.insert(0, ${JSON.stringify(PACKAGE)})`;
  const of =
    (/** @type {string} */ program, /** @type {string[]} */ ...args) =>
    async () =>
      (await run(program, args)).seconds * 1000;
  const [output, plan] = [context.output(), [RUN, '--last', '3', '--json']];
  const asked = `${JSON.stringify(RUN)}, last=3`;
  const call = `${here}; import ckpt_merge; ckpt_merge`;
  const millis = await interleaved(Math.max(20, context.rounds), {
    merge: of(process.execPath, BIN, 'average', ...plan, '--output', output, '--force'),
    mergeByPython: of('python3', '-c', `${call}.average(${asked}, output=${JSON.stringify(output)}, force=True)`),
    plan: of(process.execPath, BIN, 'plan', ...plan),
    planByPython: of('python3', '-c', `${call}.plan(${asked})`),
    nothing: of('python3', '-c', here),
    import: of('python3', '-c', `${here}; import ckpt_merge`),
  });
  const over = {
    merge: summary(millis.mergeByPython).median - summary(millis.merge).median,
    plan: summary(millis.planByPython).median - summary(millis.plan).median,
    import: summary(millis.import).median - summary(millis.nothing).median,
  };
  table(Object.entries(millis).map(([what, values]) => ({ what, 'ms, median (range)': spread(summary(values), 0) })));
  table(Object.entries(over).map(([what, ms]) => ({ what, 'over, ms': ms, 'goal ms': GOALS_MS[/** @type {'merge'} */ (what)] })));
  return { goals: GOALS_MS, over };
}
