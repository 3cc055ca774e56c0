import type { ForecastDocument } from '../../src/search/forecast/types.ts';

/**
 * A document as `merge forecast` makes it, of a loss that falls along the run; names as hostile as asked for.
 */
export function sampleForecast({ windows = 8, calibrated = false, name = 'runs/dense/checkpoint' } = {}): ForecastDocument {
  const points = Array.from({ length: windows }, (_, i) => {
    const step = 3000 + 400 * i;
    const single = 1.45 - 0.18 * (1 - Math.exp(-i / 4)) + 0.006 * Math.sin(5 * i);
    const merged = single - 0.08 + 0.004 * Math.cos(3 * i);
    const decayed = single - 0.08 / 0.7;
    return {
      ...{ step, tokens: 1_000_000 * (i + 1), path: `${name}-${step}` },
      ...{ single, singleStderr: 0.0135, merged: i === 2 ? null : merged, mergedStderr: i === 2 ? null : 0.0134 },
      difference: i === 2 ? null : { gain: single - merged, error: 0.0009, paired: true },
      decayed: calibrated && i !== 2 ? { score: decayed, low: decayed - 0.012, high: decayed + 0.009 } : null,
    };
  });
  return {
    ...{ asked: points.length, found: points.length, leftOut: [] },
    ...{ schema: 'ckpt-merge/forecast', version: 1, inputs: [name.slice(0, -'/checkpoint'.length) || name] },
    ...{ evaluator: `node demo/evaluate.js {model} --of '${name}'`, metric: null, goal: 'minimize', window: 5, method: 'sma' },
    points,
    branches: calibrated
      ? [
          { step: 3800, score: 1.27, recovered: 0.66 },
          { step: 5800, score: 1.16, recovered: 0.74 },
        ]
      : [],
    recovered: calibrated ? { mean: 0.7, spread: 0.057 } : null,
    trials: points.map(({ path, step, merged }, id) => ({
      ...{ id, kind: 'window', params: null, weights: [{ path, step, weight: 1 }], parts: [], recipe: `${id}` },
      ...{ status: merged === null ? 'failed' : 'complete', score: merged, stderr: null, metrics: {}, source: 'the last line of stdout' },
      ...{ reason: merged === null ? `killed after 600 s: ${name}` : null, by: null, proposals: null, repeatOf: null },
      ...{ seconds: 41, mergeSeconds: 2, cost: null, time: '2026-11-21T10:00:00.000Z' },
    })),
    ...{ reads: 1, seconds: { merging: 16, evaluating: 656 }, cost: null, warnings: [] },
  };
}
