import { describe, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { parseRecipe } from '../../../src/recipe/file/parse.ts';

function refusalOf(text: string): MergeError {
  try {
    parseRecipe('merge.yaml', text, (path) => path);
  } catch (error) {
    if (error instanceof MergeError) return error;
    throw error;
  }
  throw new Error('it was taken for a recipe');
}

/** The recipe that the help offers, read as a recipe. */
function offered(text: string) {
  const { help } = refusalOf(text);
  return parseRecipe('offered.yaml', help.slice(help.indexOf('\n') + 1), (path) => path);
}

describe('a configuration of mergekit', () => {
  it('is called that, and a linear merge is given as a recipe, its weights divided by their sum', () => {
    const text = `
merge_method: linear
models:
  - model: run/step6000
    parameters: { weight: 1 }
  - model: run/step7000
    parameters: { weight: 3 }
dtype: float32
out_dtype: bfloat16
`;
    expect(refusalOf(text).message).toBe('merge.yaml is a configuration of mergekit (merge_method: linear), not a recipe');
    expect(offered(text)).toEqual({
      inputs: ['run/step6000', 'run/step7000'],
      outputs: [{ path: 'merged', weights: [0.25, 0.75], dtype: 'BF16' }],
    });
  });

  it('keeps the weights as they are where normalize is false', () => {
    const text = 'merge_method: linear\nmodels:\n- {model: a, parameters: {weight: 0.5}}\n- {model: b, parameters: {weight: 0.7}}\n';
    expect(offered(`${text}parameters: {normalize: false}\n`).outputs[0]?.weights).toEqual([0.5, 0.7]);
  });

  it('is a plain mean where the weights are equal', () => {
    const text = 'merge_method: linear\nparameters: {weight: 1.0}\nmodels: [{model: a}, {model: b}, {model: c}]\n';
    expect(offered(text)).toEqual({ inputs: ['a', 'b', 'c'], outputs: [{ path: 'merged', method: 'sma' }] });
  });

  it.each([
    ['another method', 'merge_method: ties\nbase_model: a\nmodels: [{model: b, parameters: {weight: 1, density: 0.5}}]\n'],
    ['slices', 'merge_method: passthrough\nslices: [{sources: [{model: a, layer_range: [0, 8]}]}]\n'],
    ['a weight that depends on the layer', 'merge_method: linear\nmodels: [{model: a, parameters: {weight: [0, 1]}}]\n'],
    ['weights that cancel', 'merge_method: linear\nmodels: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: -1}}]\n'],
    ['models of another form', 'merge_method: linear\nmodels: {a: 1}\n'],
    ['nothing but the method', 'merge_method: linear\n'],
  ])('with %s is called that, and no recipe is offered', (_, text) => {
    const { code, message, help } = refusalOf(text);
    expect(code).toBe('E_RECIPE');
    expect(message).toMatch(/is a configuration of mergekit/);
    expect(help).toMatch(/docs\/recipes\.md/);
  });

  it('is no name for a recipe with a key too many', () => {
    expect(refusalOf('inputs: [a]\noutputs: [{path: b}]\nbase_model: c\n').message).toMatch(/unknown key `base_model`/);
  });
});
