import type { Warning } from '../../../base/errors.ts';
import { worded } from '../../../base/option-words.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { OutputRequest } from '../types.ts';
import { formatOf } from './output-path.ts';

/** What makes an output one that holds, or is made of, a trainer's state. */
type OfTrainer = Pick<OutputRequest, 'for' | 'weightsFrom'>;

/** Whether nothing of a trainer's state is in an output of safetensors, nor goes into it. */
export function isModelAlone({ for: purpose, weightsFrom }: OfTrainer): boolean {
  return purpose !== 'resume' && weightsFrom !== 'master';
}

/** An output, and the newest of its members. */
interface Following {
  readonly path: string;
  readonly newest: Checkpoint;
}

/**
 * Why outputs for which no container was named are all safetensors: the newest members of some are in one that is
 * written, those of others are not, as where older saves gave way to copies of the model. Null where all would be
 * in the same.
 */
export function severalContainers(outputs: readonly Following[], { cut }: { readonly cut: boolean }): Warning | null {
  const found = new Map<string, Following>();
  for (const output of outputs) {
    // What training cannot go on from is no checkpoint of DeepSpeed's.
    const format = formatOf([output.path], output.newest, { converted: output.newest.fragments !== undefined, cut });
    if (!found.has(format)) found.set(format, output);
  }
  const [a, b] = [...found.values()];
  if (a === undefined || b === undefined) return null;
  const nameOf = ({ newest: { path, form } }: Following) => `${path} is ${form.writer ?? form.kind}`;
  const message = worded`the outputs end at checkpoints of several containers (${nameOf(a)}, ${nameOf(b)}): all of them are made as safetensors, as with --format safetensors`;
  return { code: 'W_SEVERAL_CONTAINERS', message };
}
