import { z } from 'zod';

const number = z.number();

/** What a line of a file of trials must have for a study to go on after it; other fields may be there. */
export const storedTrial = z
  .object({
    id: z.int(),
    kind: z.string(),
    recipe: z.string(),
    status: z.enum(['complete', 'failed', 'skipped']),
    score: number.nullable(),
    stderr: number.nullable(),
    cost: number.nullable(),
    weights: z.array(z.unknown()),
    parts: z.array(z.unknown()),
    point: z.array(number).nullable(),
    leg: number,
    round: number,
    roundSize: number,
    elapsed: number,
    seconds: number,
    mergeSeconds: number,
  })
  .refine(({ status, score }) => (status === 'complete') === (score !== null));
