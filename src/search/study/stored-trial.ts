import { z } from 'zod';

const number = z.number();
const index = z.int().min(0);
const value = z.union([number, z.string()]);

const items = z.object({ name: z.string(), weight: number, digest: z.string(), scores: z.array(number) });

/** A line of a file of trials, as a study goes on after it and reports show it; other fields may be there. */
export const storedTrial = z
  .object({
    id: index,
    kind: z.enum(['newest', 'uniform', 'sma', 'single', 'trial', 'soup', 'window', 'mean', 'output']),
    params: z.record(z.string(), value).nullable(),
    recipe: z.string(),
    status: z.enum(['complete', 'failed', 'skipped']),
    score: number.nullable(),
    stderr: number.min(0).nullable(),
    metrics: z.record(z.string(), number),
    source: z.string().nullable(),
    reason: z.string().nullable(),
    by: z.string().nullable(),
    proposals: z.record(z.string(), z.array(number)).nullable(),
    repeatOf: index.nullable(),
    cost: number.nullable(),
    weights: z.array(z.object({ path: z.string(), step: number.nullable(), weight: number })).min(1),
    parts: z.array(z.object({ role: z.string(), weights: z.array(number) })),
    items: z.array(items).nullable(),
    point: z.array(number).nullable(),
    leg: index,
    higherIsBetter: z.boolean().nullable(),
    round: index,
    roundSize: index,
    elapsed: number,
    seconds: number,
    mergeSeconds: number,
    time: z.string(),
  })
  .refine(({ status, score }) => (status === 'complete') === (score !== null));

/** Levels of a parameter that are counted one by one; a window of more checkpoints does not exist. */
const MOST_LEVELS = 1_000_000;

const parameter = z
  .object({
    name: z.string(),
    kind: z.enum(['real', 'integer', 'choice']),
    low: number.optional(),
    high: number.optional(),
    log: z.boolean().optional(),
    values: z.array(value).min(1).optional(),
  })
  .refine(({ kind, low, high, log, values }) => {
    if (kind === 'choice') return values !== undefined;
    if (low === undefined || high === undefined || !(low < high) || !Number.isFinite(high - low)) return false;
    if (log === true && low <= 0) return false;
    return kind === 'real' || (Number.isSafeInteger(low) && Number.isSafeInteger(high) && high - low < MOST_LEVELS);
  });

const combination = z.object({
  name: z.string(),
  recipe: z.string(),
  axes: z.record(z.string(), z.union([value, z.boolean()])),
  control: z.boolean(),
});

const arm = z.object({
  kind: z.enum(['output', 'mean', 'newest']),
  recipe: z.string(),
  is: z.array(combination).min(1),
  endpoint: number,
  tokens: number.nullable(),
  flags: z.array(z.string()),
  logged: z.record(z.string(), number).optional(),
  earlier: z.literal(true).optional(),
});

const axis = z.union([z.object({ kind: z.literal('real') }), z.object({ kind: z.enum(['levels', 'choice']), count: index })]);

/** What the first line says of the study. */
export const storedStudy = z
  .object({
    kind: z.enum(['search', 'soup', 'forecast', 'validation', 'routers', 'grid', 'watch']),
    inputs: z.array(z.string()),
    members: z.array(
      z.object({
        path: z.string(),
        epoch: number.optional(),
        step: number.nullable(),
        tokens: number.nullable(),
        fingerprint: z.string(),
      }),
    ),
    pool: z.array(index),
    last: z.array(index),
    legs: z.array(
      z.object({
        name: z.enum(['pairwise', 'pairwise-chain', 'schedule', 'weights', 'soup', 'windows']),
        parameters: z.array(parameter),
        axes: z.array(axis),
        members: z.array(index).min(1),
      }),
    ),
    evaluator: z.string(),
    metrics: z.array(z.string()),
    goal: z.enum(['maximize', 'minimize']).nullable(),
    noise: z.enum(['shared', 'independent']),
    sampler: z.string(),
    seed: z.int().min(0),
    policies: z.array(z.string()),
    dtype: z.string().nullable(),
    scored: z.array(arm).optional(),
  })
  .refine(({ members, pool, last, legs, kind, scored }) => {
    const inside = (list: readonly number[]) => list.every((m) => m < members.length);
    if (!inside(pool) || !inside(last) || !legs.every((leg) => inside(leg.members))) return false;
    if (kind === 'routers' || (kind === 'validation' && scored !== undefined)) return true;
    if (kind === 'grid' || kind === 'watch') return scored !== undefined;
    if (kind !== 'forecast') return legs.length > 0 && legs.every(({ parameters }) => parameters.every(hasALine));
    // A window and a method, of one value each.
    const { parameters = [] } = legs[0] ?? {};
    return (
      parameters.length >= 2 &&
      parameters.every(({ values }) => values?.[0] !== undefined) &&
      Number.isSafeInteger(parameters[0]!.values?.[0])
    );
  });

/** A parameter that is searched has several values. */
function hasALine({ kind, values }: z.infer<typeof parameter>): boolean {
  return kind !== 'choice' || (values?.length ?? 0) > 1;
}
