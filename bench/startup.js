/** `merge --help` and `merge --version` against `node -e 0`: how long nothing takes. */
import { fileURLToPath } from 'node:url';
import { run } from './support/child.js';
import { interleaved, spread, summary, table } from './support/measure.js';

const BIN = fileURLToPath(new URL('../bin/merge.js', import.meta.url));
const GOAL_MS = 60;

/** @param {import('./support/context.js').Context} context */
export default async function startup(context) {
  const node =
    (/** @type {string[]} */ ...args) =>
    async () =>
      (await run(process.execPath, args)).seconds * 1000;
  const millis = await interleaved(Math.max(20, context.rounds), {
    node: node('-e', '0'),
    help: node(BIN, '--help'),
    version: node(BIN, '--version'),
    averageHelp: node(BIN, 'average', '--help'),
  });
  const floor = summary(millis.node);
  const results = Object.entries(millis).map(([what, values]) => {
    const s = summary(values);
    return { what, millis: s, overNode: s.median - floor.median };
  });
  table(results.map((r) => ({ what: r.what, 'ms, median (range)': spread(r.millis, 0), 'over node ms': r.overNode, 'goal ms': GOAL_MS })));
  return { goalMillis: GOAL_MS, results };
}
