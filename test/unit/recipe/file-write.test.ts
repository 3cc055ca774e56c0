import { describe, expect, it } from 'vitest';
import { randomOf } from '../../../src/base/numbers/random.ts';
import { parseRecipe } from '../../../src/recipe/file/parse.ts';
import { recipeYaml } from '../../../src/recipe/file/write.ts';
import type { Policy } from '../../../src/recipe/policy/types.ts';
import type { WeightRequest } from '../../../src/recipe/schedule/types.ts';
import type { Selection } from '../../../src/recipe/select/types.ts';
import type { Recipe, RecipeOutput } from '../../../src/recipe/types.ts';

const read = (text: string) => parseRecipe('recipe.yaml', text, (path) => path);

/**
 * Text that YAML, of whatever version, could take for something else, and text with what it means something
 * by.
 */
const HOSTILE = [
  ...['true', 'False', 'null', '~', 'yes', 'NO', 'on', 'off', 'y', 'n', '0x1F', '0o17', '1e5', '12:30', '1_000', '.inf', '.nan', '-', '.5'],
  ...[
    '2024-01-01',
    '<<',
    '=',
    '0xg',
    '0b11',
    'a: b',
    'a #b',
    '# a',
    '- a',
    '? a',
    '&a',
    '*a',
    '!a',
    '%a',
    '@a',
    '`a',
    '|',
    '>',
    '{a',
    '[a',
  ],
  ...[
    ' a',
    'a ',
    'a\nb',
    'a\tb',
    'a"b',
    "it's",
    'a\\b',
    'ünïcödé',
    '\u{1f600}',
    'a\u2028b',
    '\u0085',
    '\u007f',
    '\ud800',
    '\ufeffa',
    'a,b]',
  ],
  ...['../a b', '../../x', '../x: y', './a', '/abs/path', 'C:\\run', '$HOME', '...', '---', 'checkpoint-1000', '{step}', 'null-and-void'],
];

/** Recipes of all options, made from a seed. */
function recipeFrom(seed: number): Recipe {
  const random = randomOf(seed);
  const below = (n: number) => Math.floor(random() * n);
  const one = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const maybe = <T>(make: () => T): T | undefined => (random() < 0.4 ? make() : undefined);
  const list = <T>(make: () => T, least = 1) => Array.from({ length: least + below(3) }, make);
  const number = () => one([0, -0, 1, 0.1, 1 / 3, -2.5, 1e21, 5e-324, 1.7976931348623157e308, random() - 0.5, 2 ** 53]);
  const text = () => one(HOSTILE);
  const bool = () => one([true, false]);
  const distance = () => one(['8B', '1.5T', '500M', '1000steps', '3ckpt', 1000, '12000', '4096tokens']);
  const weights = (): WeightRequest =>
    one<() => WeightRequest>([
      () => ({}),
      () => ({ weights: list(number), normalize: maybe(bool) }),
      () => ({ method: 'ema', alpha: maybe(() => 1 - random()) }),
      () => ({ method: 'ema', halfLife: distance(), reverse: maybe(bool) }),
      () => ({ method: 'ema-normalized', scramble: below(2 ** 31) }),
      () => ({ method: 'wsm', decay: one(['linear', '1-sqrt', 'minus-sqrt']), decayFloor: maybe(() => 0.5 * random()) }),
      () => ({ method: 'wsm', decayFile: text(), reverse: true }),
      () => ({ method: 'lr-curve', lrCurve: text() }),
      () => ({
        method: 'extrapolate',
        gamma: Math.min(1e6, Math.max(-1e6, number())),
        window: maybe(() => 1 + below(5)),
        lag: maybe(() => 1 + below(5)),
      }),
    ])();
  const selection = (): Selection =>
    one<() => Selection>([
      () => ({ last: maybe(() => 3 + below(20)), every: maybe(distance), from: maybe(() => '8B'), minMembers: maybe(() => 1 + below(3)) }),
      () => ({ eachIngredient: 'last', before: 12000 }),
      () => ({ steps: [...new Set(list(() => below(10000)))] }),
      () => ({ beforeSpike: one([1000, 12000]), margin: maybe(distance) }),
    ])();
  const policy = (name: string): Policy => ({
    role: maybe(() => one(['router', 'experts', 'router|norms', ['expert', 'mlp']])),
    layers: maybe(() => one([0, -1, '0-3|7', [0, '2-3']])),
    name,
    stored: maybe(() => one(['BF16', ['F32', 'BF16']])),
    ...one<() => Policy>([
      () => ({ use: one(['newest', 'oldest', 'equal', 'drop', 2000]) }),
      () => ({ method: 'ema', halfLife: '2B' }),
      () => ({ weights: list(number) }),
    ])(),
    dtype: undefined,
  });
  const output = (): RecipeOutput => ({
    path: text(),
    select: maybe(selection),
    preset: undefined,
    ...weights(),
    router: maybe(() => one(['average', 'newest', 3000])),
    dtype: maybe(() => one(['BF16', 'same'])),
    for: maybe(() => 'resume'),
    policies: maybe(() => [...new Set(list(text, 0))].map(policy)),
  });
  const allow = ['allowMixedDtypes', 'allowUnknown', 'allowPermuted', 'allowStages', 'allowConfigs'].map((name) => [name, maybe(bool)]);
  return {
    inputs: list(text),
    like: maybe(text),
    ...one([{}, { tokensPerStep: one(['4M', 4194304]) }, { batchSchedule: '0:2M,50000:4M' }, { tokensFile: text() }]),
    ...Object.fromEntries(allow),
    baseModelId: maybe(() => one(['org/name', ...HOSTILE])),
    outputs: list(output),
  };
}

describe('the writer of recipes', () => {
  it('is the inverse of the reader, whatever the recipe holds', () => {
    for (let seed = 0; seed < 400; seed++) {
      const recipe = recipeFrom(seed);
      const text = recipeYaml(recipe, { head: ['one: line', '- another'], outputs: ['a remark: of the first'] });
      const again = read(text);
      expect(again, text).toEqual(recipe);
      expect(read(recipeYaml(again)), text).toEqual(recipe);
    }
  });

  it('writes what people would: an entry a line, words plain, lists on one line, policies last', () => {
    const recipe: Recipe = {
      inputs: ['../run/checkpoint-1000', 'other run'],
      allowStages: true,
      outputs: [
        {
          path: '../out',
          policies: [{ role: 'experts', layers: '0-3', weights: [0.25, 0.75] }],
          method: 'ema',
          halfLife: '2B',
          dtype: 'F32',
        },
        { path: 'b-{step}', select: { last: 2, every: '8B' }, sliding: true, weights: [1, -0] },
      ],
      baseModelId: 'org/name',
    };
    expect(recipeYaml(recipe, { head: ['Made by hand.'], outputs: [null, 'of two'] })).toBe(`# Made by hand.
inputs:
  - ../run/checkpoint-1000
  - "other run"
allow-stages: true
base-model-id: "org/name"
outputs:
  - path: ../out
    method: ema
    half-life: 2B
    dtype: F32
    policies:
      - { role: experts, layers: "0-3", weights: [0.25, 0.75] }
  - path: "b-{step}"
    # of two
    select: { last: 2, every: "8B" }
    sliding: true
    weights: [1, -0]
`);
  });
});
