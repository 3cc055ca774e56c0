import { z } from 'zod';
import { isPlainName } from '../../base/disk/plain-name.ts';

const number = z.number().nullable();
/** Something in the watch's folder, or the pins': a path would lead out of it. */
const name = z.string().refine(isPlainName, 'is no plain name');
/** `round`: name of the checkpoint that its window ends at; of one window its merge alone is the round. */
const made = z.object({ output: name, digest: z.string(), round: z.string().optional() });
const member = z.object({ name: z.string(), step: number, tokens: number, weight: z.number() });
const leftOut = z.object({ name: z.string(), step: z.number(), reason: z.string(), newer: z.boolean() });
const names = z.array(z.string()).readonly();
/** A line of the history. */
export const storedRecord = z.object({
  time: z.string(),
  checkpoint: z.string(),
  window: z.int().min(1).optional(),
  step: number,
  tokens: number,
  members: z.array(member).readonly(),
  leftOut: z.array(leftOut).readonly().default([]),
  saves: z.object({ keep: names, delete: names, copied: names.optional() }).optional(),
  output: name.nullable(),
  seconds: number,
  hook: number,
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
});
/** A model that has still to be scored: a merge of this watch, or a checkpoint of the run alone. */
const waiting = z.object({
  kind: z.enum(['single', 'merge']),
  checkpoint: z.string(),
  signature: z.string(),
  /** Of a merge its name, and the digest of its plan. */
  output: name.nullable(),
  digest: z.string().nullable(),
  window: z.int().min(1).nullable(),
  step: z.number(),
  tokens: number,
  members: z.array(member).min(1).readonly(),
  since: z.string(),
});
/** A copy without the trainer's state that was compared with its save: its name, and what both looked like then. */
const copy = z.object({
  copy: name,
  signature: z.string(),
  content: z.string(),
  step: number,
  bytes: z.number(),
  copyBytes: z.number(),
  loses: z.array(z.string()),
  verified: z.enum(['full', 'sample']),
  look: z.string(),
});
const named = z.array(z.tuple([z.string(), z.string()]));

/** `state.json`, apart: whoever imports the package should not load zod before a watch begins. */
export const storedState = z.object({
  schema: z.literal('ckpt-merge/watch-state'),
  version: z.literal(1),
  /** The run, relative to the watch's folder. */
  run: z.string(),
  /**
   * Checkpoints that need nothing more, by name, with the signature of their tensors: a run that went back
   * writes a name anew.
   */
  done: named,
  /** Checkpoints left out of windows because they hold NaN or infinity. */
  bad: named,
  /** Merges that are there, oldest first, with the digest of their plan. Nothing else is ever removed. */
  merges: z.array(made),
  /** Merges on their way out. */
  trash: z.array(made),
  /** Names in the pin folder that the watch made. */
  pins: z.array(name),
  /** By the path of the save in the run. */
  copies: z.array(z.tuple([z.string(), copy])).default([]),
  /** The one accumulator that may be gone on with. */
  accumulator: z.object({ output: name, digest: z.string(), fingerprint: z.string(), step: number, tokens: number }).nullable(),
  /** Models that have still to be scored, and those that have no score. */
  waiting: z.array(waiting.refine(({ kind, output, digest }) => kind === 'single' || (output !== null && digest !== null))).default([]),
  unscored: z.array(waiting.extend({ reason: z.string(), again: z.boolean() })).default([]),
  /** The round in work: written before its merge, so that one that was interrupted is recognised. */
  pending: z
    .preprocess(
      // Of a watch that had one window.
      (value) => (typeof value === 'object' && value !== null && 'record' in value ? { ...value, records: [value.record] } : value),
      z.object({ signature: z.string(), outputs: z.array(made), records: z.array(storedRecord).min(1) }),
    )
    .nullable(),
});

export type StoredState = z.infer<typeof storedState>;
