/**
 * A source that answers each read after 2 ms (injected): many reads in flight against one at a time, for
 * several sizes of request.
 */
import { interleaved, spread, summary, table } from './support/measure.js';

const GOAL = 8;

/** @param {import('./support/context.js').Context} context */
export default async function latency(context) {
  const inputs = (await context.llamas(4)).map((c) => c.dir);
  const results = [];
  for (const requestBytes of [0, 1 << 20, 256 << 10]) {
    const merge = (/** @type {number} */ requestsInFlight) => () =>
      context.average({ inputs, io: 'read', tuning: { readDelayMicros: 2000, requestBytes, requestsInFlight } });
    const seconds = await interleaved(Math.min(3, context.rounds), { inFlight: merge(0), oneAtATime: merge(1) }, () =>
      context.prime(context.size),
    );
    const inFlight = summary(seconds.inFlight);
    const oneAtATime = summary(seconds.oneAtATime);
    results.push({ requestBytes, inFlight, oneAtATime, ratio: oneAtATime.median / inFlight.median });
  }
  table(
    results.map((r) => ({
      request: r.requestBytes === 0 ? 'default' : `${r.requestBytes >> 10} KiB`,
      'default in flight s': spread(r.inFlight),
      'one at a time s': spread(r.oneAtATime),
      ratio: r.ratio,
      goal: GOAL,
    })),
  );
  return { goal: GOAL, results };
}
