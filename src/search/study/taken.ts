import { OF_OUTPUT, SELECTION, type Taken } from '../../recipe/given.ts';
import { CHECKS, LAUNCH, MACHINE, RECIPE, TOKENS, TRUST } from '../../recipe/options.ts';
import type { EvaluationSettings } from './scorer.ts';
import type { StudyRequest } from './session.ts';

const TERMS = { kind: 'maps', of: { name: { kind: 'text', needed: true }, weight: { kind: 'number', needed: true } } } as const;

/** How models are scored, as an option of the library. */
export const OF_EVALUATION = {
  eval: { kind: 'command', needed: true },
  metrics: TERMS,
  metricFile: { kind: 'text' },
  metricRegex: { kind: 'text' },
  goal: { kind: 'choice', choices: ['maximize', 'minimize'] },
  timeout: { kind: 'number' },
  evalSetup: { kind: 'text' },
  evalCancel: { kind: 'text' },
  evalServer: { kind: 'text' },
  gpus: { kind: 'texts' },
  parallel: { kind: 'count' },
} as const satisfies Taken<EvaluationSettings>;

/** What every study takes. */
export const OF_STUDY = {
  ...OF_EVALUATION,
  inputs: { kind: 'paths', needed: true },
  select: SELECTION,
  ...TOKENS,
  policies: OF_OUTPUT.policies,
  router: OF_OUTPUT.router,
  dtype: OF_OUTPUT.dtype,
  like: RECIPE.like,
  names: RECIPE.names,
  config: RECIPE.config,
  shardSize: RECIPE.shardSize,
  baseModelId: RECIPE.baseModelId,
  ...CHECKS,
  ...MACHINE,
  ...LAUNCH,
  ...TRUST,
  output: { kind: 'path' },
  dir: { kind: 'path' },
  work: { kind: 'path' },
  keep: { kind: 'flag' },
  resume: { kind: 'flag' },
  log: { kind: 'texts' },
  force: { kind: 'flag' },
} as const satisfies Taken<StudyRequest>;
