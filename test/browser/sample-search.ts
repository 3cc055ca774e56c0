import type { Baseline, Conclusion, PosteriorDrawing } from '../../src/search/conclusion/types.ts';
import type { ChainPair, SearchDocument } from '../../src/search/optimise/types.ts';
import type { Params, SpaceParameter } from '../../src/search/space/types.ts';
import type { Trial, TrialKind } from '../../src/search/study/types.ts';

export type SampleKind = 'pairwise' | 'plane' | 'schedule' | 'weights' | 'soup' | 'chain' | 'failed' | 'one';

const PARAMETERS: Record<SampleKind, readonly SpaceParameter[]> = {
  pairwise: [{ name: 'lambda', kind: 'real', low: 0.5, high: 1 }],
  chain: [{ name: 'lambda', kind: 'real', low: 0.5, high: 1 }],
  failed: [{ name: 'lambda', kind: 'real', low: 0.5, high: 1 }],
  one: [{ name: 'lambda', kind: 'real', low: 0.5, high: 1 }],
  plane: [
    { name: 'window', kind: 'integer', low: 2, high: 6 },
    { name: 'alpha', kind: 'real', low: 0.05, high: 0.5, log: true },
  ],
  schedule: [
    { name: 'window', kind: 'integer', low: 2, high: 6 },
    { name: 'alpha', kind: 'real', low: 0.05, high: 0.5, log: true },
    { name: 'method', kind: 'choice', values: ['sma', 'ema', 'wsm'] },
  ],
  weights: Array.from({ length: 8 }, (_, i) => ({ name: `axis-${i + 1}`, kind: 'real', low: 0, high: 1 })),
  soup: [],
};

/** In [0, 1), the same for the same key. */
function wave(key: number): number {
  const x = Math.abs(Math.sin(key * 12.9898 + 4.1) * 43758.5453);
  return x - Math.floor(x);
}

/**
 * A document as `merge search` and `merge soup` make it, of losses of a small model; names as hostile as
 * asked for.
 */
export function sampleSearch(kind: SampleKind, { trials = 12, members = 6, name = 'runs/dense/checkpoint' } = {}): SearchDocument {
  const parameters = PARAMETERS[kind];
  const pool = Array.from({ length: members }, (_, i) => ({
    path: `${name}-${6000 - 200 * (members - 1 - i)}`,
    step: 6000 - 200 * (members - 1 - i),
    tokens: 1_000_000 * (i + 1),
  }));
  const count = kind === 'one' ? 1 : trials;
  const all = Array.from({ length: count }, (_, id) => sampleTrial(kind, id, parameters, pool, name));
  const scored = all.filter(({ score }) => score !== null);
  const best = scored.length === 0 ? null : scored.reduce((least, trial) => (trial.score! < least.score! ? trial : least));
  const claimed = best !== null && scored.length > 3;
  const bestOf =
    best === null
      ? null
      : {
          trial: best.id,
          params: best.params,
          weights: best.weights,
          score: best.score!,
          stderr: best.stderr,
          posterior: { mean: best.score! + 0.0004, std: 0.0006 },
        };
  const baselines = (['newest', 'uniform', 'sma'] as const).flatMap((which, id) => sampleBaseline(which, id, all, best, members));
  return {
    ...{ asked: 8, found: 8, leftOut: [] },
    ...{ schema: 'ckpt-merge/search', version: 1, kind: kind === 'soup' ? 'soup' : 'search' },
    inputs: [name.slice(0, -'/checkpoint'.length) || name],
    members: pool,
    space: {
      name:
        kind === 'chain'
          ? 'pairwise-chain'
          : kind === 'soup' || kind === 'weights'
            ? kind
            : parameters.length > 1
              ? 'schedule'
              : 'pairwise',
      parameters,
    },
    ...{
      sampler: 'gp',
      seed: 1,
      evaluator: `node demo/evaluate.js {model} --part '${name}'`,
      metric: null,
      goal: 'minimize',
      noise: 'shared',
    },
    noiseStd: kind === 'failed' || kind === 'one' ? null : { value: 0.0006, from: 'model' },
    best: bestOf,
    baselines,
    trials: all,
    posterior: best === null || kind === 'one' ? null : samplePosterior(kind),
    chain: kind === 'chain' ? Array.from({ length: members - 1 }, (_, pair) => samplePair(pair, all)) : null,
    onBounds:
      kind === 'plane'
        ? [
            {
              parameter: 'window',
              side: 'high',
              text: 'The best window, 6, is all members: with more checkpoints a longer one could be tried.',
            },
          ]
        : [],
    validation:
      kind === 'schedule'
        ? {
            command: "node demo/evaluate.js {model} --part 'validation'",
            rows: [best!.id, 0, 1].map((trial, i) => ({ trial, score: [1.2071, 1.2634, 1.2102][i]!, stderr: 0.0121 })),
            onValidation: { gain: 0.0031, error: 0.0009, paired: true },
            onSearch: { gain: 0.0087, error: 0.0009, paired: true },
          }
        : null,
    conclusion: {
      ...conclusionOf(claimed, best !== null),
      basis: kind === 'schedule' ? 'validation' : best === null ? null : 'posterior',
    },
    ...{ folder: `${name}.search`, output: kind === 'one' ? null : 'best' },
    ended: kind === 'failed' ? 'patience' : 'trials',
    ...{
      merges: count,
      reads: Math.ceil(count / 3),
      seconds: { merging: 3.1 * count, evaluating: 41.7 * count },
      cost: kind === 'schedule' ? 1.25 : null,
    },
    warnings: kind === 'failed' ? [{ code: 'W_SPACE' as never, message: `${name}: three evaluations failed` }] : [],
  };
}

function conclusionOf(gainClaimed: boolean, any: boolean): Conclusion {
  const nothing = { gainClaimed: false, probability: null, gain: null, interval: null, basis: null, against: null, resolution: null };
  if (!any) return { ...nothing, text: 'No recipe has a score: every evaluation failed.' };
  if (!gainClaimed) return { ...nothing, text: 'There are too few scores for a conclusion.' };
  return {
    ...{
      gainClaimed,
      probability: 0.9987,
      gain: 0.0087,
      interval: [0.0061, 0.0112],
      basis: 'posterior',
      against: 'uniform',
      resolution: 0.0331,
    },
    text: 'The best recipe is better than the uniform mean by 0.0087 (95 % interval 0.0061 to 0.0112).',
  };
}

function sampleTrial(
  kind: SampleKind,
  id: number,
  parameters: readonly SpaceParameter[],
  pool: SearchDocument['members'],
  name: string,
): Trial {
  const kinds: readonly TrialKind[] =
    kind === 'soup' ? ['newest', 'uniform', 'single', 'single', 'single', 'single'] : ['newest', 'uniform', 'sma'];
  const what = kinds[id] ?? (kind === 'soup' ? 'soup' : 'trial');
  const params = what === 'trial' || (parameters.length === 1 && id < 2) ? sampleParams(parameters, id) : null;
  const failed = kind === 'failed' || id === 5;
  const skipped = id === 7 && kind !== 'failed';
  const window = what === 'newest' ? 1 : what === 'single' ? 1 : 1 + (id % pool.length);
  const takes =
    kind === 'pairwise' || kind === 'chain'
      ? pool.slice(-2)
      : what === 'single'
        ? [pool[id % pool.length]!]
        : what === 'newest'
          ? pool.slice(-1)
          : pool.slice(-window);
  const lambda = Number(params?.lambda ?? Number.NaN);
  const even = 1 / takes.length;
  const score = 1.18 + (what === 'newest' || what === 'single' ? 0.08 : 0) + 0.02 * distance(params) + 0.001 * wave(id + 500);
  return {
    ...{ id, kind: what, params, recipe: `${id}`.repeat(8) },
    weights: takes.map(({ path, step }, i) => ({
      path,
      step,
      weight: params?.lambda !== undefined && takes.length === 2 ? (i === 1 ? lambda || 0.5 : 1 - (lambda || 0.5)) : even,
    })),
    parts: kind === 'weights' && id === 9 ? [{ role: 'router', weights: takes.map((_, i) => (i === 0 ? 1 : 0)) }] : [],
    status: failed ? 'failed' : skipped ? 'skipped' : 'complete',
    score: failed || skipped ? null : score,
    stderr: failed || skipped ? null : 0.0135,
    metrics: failed || skipped ? {} : kind === 'weights' ? { loss: score, [`${name}/perplexity`]: Math.exp(score) } : { score },
    source: failed || skipped ? null : 'the last line of stdout',
    reason: failed ? `exit code 1 from ${name}` : skipped ? 'the evaluator said to skip it (exit code 125)' : null,
    by: what === 'trial' ? (['initial', 'ei', 'pi', 'ucb', 'ei'][id % 5] ?? null) : null,
    proposals: null,
    repeatOf: id === 10 && kind === 'pairwise' ? 3 : null,
    ...{
      seconds: 41.7,
      mergeSeconds: id === 10 ? 0 : 3.1,
      cost: kind === 'schedule' ? 0.05 : null,
      time: `2026-11-21T10:${String(id % 60).padStart(2, '0')}:00.000Z`,
    },
  };
}

function sampleParams(parameters: readonly SpaceParameter[], id: number): Params {
  return Object.fromEntries(
    parameters.map(({ name, kind, low = 0, high = 1, log, values }, axis) => {
      const u =
        parameters.length === 1 ? [1, 0, 0.5, 0.25, 0.75, 0.6, 0.55, 0.45, 0.4, 0.52, 0.25, 0.48][id % 12]! : wave(id * 31 + axis * 7);
      if (values !== undefined) return [name, values[Math.floor(u * values.length)]!];
      if (kind === 'integer') return [name, low + Math.floor(u * (high - low + 1))];
      return [name, log ? low * (high / low) ** u : low + u * (high - low)];
    }),
  );
}

/** From what is best: λ of 0.72, all of the window. */
function distance(params: Params | null): number {
  if (params === null) return 0.3;
  const { lambda, window, alpha, method } = params;
  if (lambda !== undefined) return 12 * (Number(lambda) - 0.72) ** 2 + (Number(lambda) === 1 ? 3 : 0);
  if (window === undefined) return Object.values(params).reduce((sum: number, value) => sum + (Number(value) - 0.4) ** 2, 0);
  return 0.1 * (6 - Number(window)) + Math.abs(Math.log(Number(alpha) / 0.2)) / 2 + (method === 'wsm' ? 0.2 : 0);
}

function sampleBaseline(name: Baseline['name'], trial: number, all: readonly Trial[], best: Trial | null, members: number): Baseline[] {
  const found = all[trial];
  if (found === undefined) return [];
  const label = {
    newest: 'newest (step 6000)',
    uniform: `mean of all ${members}`,
    sma: 'SMA over the last 10',
    'best single': 'best single checkpoint',
  }[name];
  const gain = found.score === null || best === null || best.id === trial ? null : found.score - best.score!;
  return [
    {
      name,
      label,
      trial,
      score: found.score,
      stderr: found.stderr,
      difference: gain === null ? null : { gain, error: 0.0009, paired: true },
    },
  ];
}

function samplePosterior(kind: SampleKind): PosteriorDrawing | null {
  if (kind === 'pairwise' || kind === 'chain') {
    const points = Array.from({ length: 101 }, (_, i) => {
      const x = 0.5 + i / 200;
      const mean = 1.1805 + 0.02 * distance({ lambda: Math.min(x, 0.999) });
      const half = 0.001 + 0.01 * Math.abs(Math.sin(8 * Math.PI * x));
      return { x, mean, low: mean - half, high: mean + half };
    });
    return { kind: 'curve', parameter: 'lambda', points };
  }
  if (kind !== 'plane') return null;
  const xValues = [2, 3, 4, 5, 6];
  const yValues = Array.from({ length: 25 }, (_, i) => 0.05 * 10 ** (i / 24));
  const mean = yValues.map((alpha) => xValues.map((window) => 1.18 + 0.02 * distance({ window, alpha })));
  return {
    kind: 'map',
    x: 'window',
    y: 'alpha',
    xValues,
    yValues,
    mean,
    std: yValues.map((_, r) => xValues.map((_, c) => 0.0005 + 0.003 * wave(r * 5 + c))),
  };
}

function samplePair(pair: number, all: readonly Trial[]): ChainPair {
  const { weights, id } = all[3 + pair] ?? all[0]!;
  const lambda = 0.6 + 0.08 * pair;
  const score = 1.19 - 0.004 * pair;
  return {
    ...{ older: pair, newer: pair + 1, single: score + 0.03, singleStderr: 0.0135, posterior: null },
    best: { trial: id, params: { lambda }, weights, score, stderr: 0.0135, posterior: { mean: score + 0.0003, std: 0.0011 } },
    conclusion: conclusionOf(pair % 2 === 0, true),
  };
}
