import { dirname, join } from 'node:path';
import { MergeError } from '../../../base/errors.ts';
import type { Value } from '../pickle/values.ts';
import { countOf, itemsOf, under } from '../pickle/walk.ts';

/** The key of a file of the model that the weights stand under. */
export const MODULE = 'module';
/** An expert: with experts, the file of the model has all but them, and each has a file of its own. */
const EXPERT = /^layer_(\d+)_expert_(\d+)_mp_rank_\d+_model_states\.pt$/;

/** The files of experts that lie beside the file of a model, in their order. */
export function expertFiles(names: Iterable<string>): string[] {
  return [...names].filter((name) => EXPERT.test(name)).sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

/** Experts of each layer that has some, as the file of the model says. */
export function expertCounts(root: Value): readonly number[] {
  return (itemsOf(under(root, 'num_experts')) ?? []).map((count) => countOf(count) ?? 0);
}

/**
 * @param path of the checkpoint: its folder, or the file of the model alone
 * @param names of its files of experts; null where the file of the model is given alone
 * @param counts experts of each layer
 * @throws MergeError E_SHARD_MISSING where an expert's file is not there
 */
export function refuseMissingExperts(path: string, names: readonly string[] | null, counts: readonly number[]): void {
  if (names === null) {
    if (counts.every((count) => count === 0)) return;
    const message = `${path}: holds the model without its experts, which have files of their own beside it`;
    throw new MergeError('E_SHARD_MISSING', message, { details: { file: path }, help: `Name the folder: ${dirname(path)}` });
  }
  const there = new Set(names.map((name) => EXPERT.exec(name)!.slice(1).map(Number).join()));
  for (const [layer, count] of counts.entries()) {
    for (let expert = 0; expert < count; expert++) {
      if (there.has(`${layer},${expert}`)) continue;
      const file = join(path, `layer_${layer}_expert_${expert}_mp_rank_00_model_states.pt`);
      throw new MergeError('E_SHARD_MISSING', `${file}: is not there: layer ${layer} of the model's experts has ${count}`, {
        details: { file },
      });
    }
  }
}
