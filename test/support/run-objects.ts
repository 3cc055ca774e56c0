import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Run, RunCheckpoint } from '../../src/checkpoints/run/types.ts';
import type { LogEntry, Position } from '../../src/checkpoints/types.ts';

/** A checkpoint of a run that lies nowhere. Its tokens are a state file's unless it says otherwise. */
export function checkpointAt(at: Partial<Position> & Pick<Partial<RunCheckpoint>, 'tokensFrom' | 'name'>): RunCheckpoint {
  const { stage = null, ingredient = null, step = null, tokens = null } = at;
  const name =
    at.name ??
    [...(stage === null ? [] : [`stage${stage}`]), ...(ingredient === null ? [] : [`ingredient${ingredient}`]), `step${step}`].join('-');
  const tokensFrom = at.tokensFrom ?? (tokens === null ? null : 'state');
  return {
    path: `/run/${name}`,
    name,
    stage,
    ingredient,
    step,
    tokens,
    tokensFrom,
    bytes: 16,
    dtypes: ['BF16'],
    learningRate: null,
    evalLoss: null,
    loss: null,
    savedAt: null,
  };
}

export function runOf(checkpoints: readonly RunCheckpoint[], rest: Partial<Run> = {}): Run {
  return { path: '/run', checkpoints, excluded: [], broken: [], abandoned: [], log: [], warnings: [], ...rest };
}

/** A run of these steps, each of so many tokens. */
export function runOfSteps(steps: readonly number[], tokensPerStep?: number, rest: Partial<Run> = {}): Run {
  return runOf(
    steps.map((step) => checkpointAt({ step, tokens: tokensPerStep === undefined ? null : step * tokensPerStep })),
    rest,
  );
}

/** `count` numbers from `first` on, `apart` from each other. */
export function stepsFrom(first: number, apart: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i * apart);
}

/** A log with a loss at every `each` steps. */
export function logOfLosses(losses: readonly (number | null)[], each = 10): LogEntry[] {
  return losses.map((loss, i) => ({ step: (i + 1) * each, loss, learningRate: null }));
}

/** A log with a learning rate at every `each` steps. */
export function logOfRates(rates: readonly (number | null)[], each = 10): LogEntry[] {
  return rates.map((learningRate, i) => ({ step: (i + 1) * each, loss: null, learningRate }));
}

/** The log that the newest checkpoint of a demo run carries. */
export function demoLog(run: string, newest: string): LogEntry[] {
  const file = join(import.meta.dirname, '../../demo/runs', run, newest, 'trainer_state.json');
  const state = JSON.parse(readFileSync(file, 'utf8')) as { log_history: { step: number; loss?: number; learning_rate?: number }[] };
  return state.log_history.map(({ step, loss, learning_rate }) => ({ step, loss: loss ?? null, learningRate: learning_rate ?? null }));
}

/** Numbers in [0, 1) that a seed decides (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Numbers of a normal distribution around 0 (Box and Muller). */
export function normalFrom(seed: number): () => number {
  const random = randomFrom(seed);
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
