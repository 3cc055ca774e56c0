import { MergeError } from '../../base/errors.ts';
import type { Recipe } from '../types.ts';
import { recipeYaml } from './write.ts';

/** What its dtypes are called here. */
const DTYPES: Readonly<Record<string, string>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };

/** Top-level keys of a mergekit configuration that no recipe has. */
const KEYS = ['merge_method', 'models', 'slices', 'modules', 'base_model', 'tokenizer_source'] as const;

/** Whether data is a configuration of mergekit, and not a recipe with a key too many. */
export function isMergekit(data: unknown): data is Record<string, unknown> {
  if (typeof data !== 'object' || data === null || 'inputs' in data || 'outputs' in data) return false;
  return KEYS.some((key) => Object.hasOwn(data, key));
}

/**
 * The refusal of a mergekit configuration. For a `linear` merge with a number for each model, its help is the
 * recipe of the same merge: mergekit divides by the sum of the weights unless `normalize` is false.
 */
export function mergekitError(file: string, data: Readonly<Record<string, unknown>>): MergeError {
  const method = typeof data.merge_method === 'string' ? ` (merge_method: ${data.merge_method})` : '';
  const recipe = recipeOfLinear(data);
  return new MergeError('E_RECIPE', `${file} is a configuration of mergekit${method}, not a recipe`, {
    details: { file },
    help:
      recipe === null
        ? 'Checkpoints of one run are averaged here, with a weight for each: see docs/recipes.md for the form of a recipe.'
        : `The same merge as a recipe:\n${recipeYaml(recipe).trimEnd()}`,
  });
}

/** Null where it is more than a weighted mean of checkpoints. */
function recipeOfLinear({ merge_method, models, parameters, dtype, out_dtype, slices, modules }: Record<string, unknown>): Recipe | null {
  if (merge_method !== 'linear' || !Array.isArray(models) || models.length === 0 || slices !== undefined || modules !== undefined)
    return null;
  const inputs: string[] = [];
  const given: number[] = [];
  for (const item of models as unknown[]) {
    const { model, parameters: own } = keyed(item);
    const weight = keyed(own).weight ?? keyed(parameters).weight;
    if (typeof model !== 'string' || typeof weight !== 'number' || !Number.isFinite(weight)) return null;
    inputs.push(model);
    given.push(weight);
  }
  const sum = keyed(parameters).normalize === false ? 1 : given.reduce((total, weight) => total + weight, 0);
  if (sum === 0) return null;
  const equal = sum !== 1 && given.every((weight) => weight === given[0]);
  const stored = DTYPES[String(out_dtype ?? dtype)];
  return {
    inputs,
    outputs: [
      {
        path: 'merged',
        ...(equal ? { method: 'sma' } : { weights: given.map((weight) => weight / sum) }),
        ...(stored === undefined ? {} : { dtype: stored }),
      },
    ],
  } as Recipe;
}

function keyed(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
