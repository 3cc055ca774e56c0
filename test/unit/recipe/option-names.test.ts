import { afterEach, expect, it } from 'vitest';
import { speakTo } from '../../../src/base/option-words.ts';
import { contradictions } from '../../../src/recipe/file/contradictions.ts';
import { OUTPUT, RECIPE, SELECT } from '../../../src/recipe/options.ts';
import { weightProblems } from '../../../src/recipe/schedule/check.ts';
import { parameterLabel } from '../../../src/recipe/schedule/parameters.ts';
import type { WeightRequest } from '../../../src/recipe/schedule/types.ts';
import { selectionProblems } from '../../../src/recipe/select/select-check.ts';
import type { Selection } from '../../../src/recipe/select/types.ts';
import type { RecipeOutput } from '../../../src/recipe/types.ts';

afterEach(() => speakTo('library'));

/** Names of options that are no words of prose: those of two words. */
const NAMES = Object.keys({ ...SELECT, ...OUTPUT, ...RECIPE })
  .map(parameterLabel)
  .filter((name) => name.includes('-'));
const BARE = new RegExp(`(?<![-\\w])(?:${NAMES.join('|')})(?![-\\w])`);

const WEIGHTS: readonly WeightRequest[] = [
  { method: 'ema', alpha: 0.2, halfLife: '2B' },
  { method: 'sma', halfLife: '2B' },
  { method: 'ema', halfLife: 'soon' },
  { method: 'wsm', decay: '1-sqrt', decayFile: 'x', decayFloor: 0.1, decayEnd: 5 },
  { method: 'wsm', decayFloor: 7 },
  { method: 'wsm', decayFile: '' },
  { method: 'lr-curve' },
  { method: 'sma', lrCurve: 'x' },
  { method: 'sma', normalize: true },
];
const SELECTIONS: readonly Selection[] = [
  { last: 3, minMembers: 5 },
  { minMembers: 0 },
  { every: 100, minInterval: 100 },
  { minInterval: 0 },
  { margin: 100 },
  { steps: [1], last: 2 },
  { beforeSpike: -1 },
  { eachIngredient: 'last', last: 3, beforeSpike: 'auto' },
];
const OUTPUTS: readonly RecipeOutput[] = [
  { path: 'x', optimizer: 'newest' },
  { path: 'x', sliding: true },
];

function said(): string[] {
  return [
    ...WEIGHTS.flatMap((request) => weightProblems(request).map(({ message }) => message)),
    ...SELECTIONS.flatMap((selection) => selectionProblems(selection, 2)),
    ...OUTPUTS.flatMap((output) =>
      contradictions({ inputs: ['run'], tokensPerStep: 1, tokensFile: 'y', outputs: [output] }).map(({ message }) => message),
    ),
  ];
}

it('what is wrong with options is said with their dashes on the command line, and without them elsewhere', () => {
  for (const reader of ['library', 'recipe'] as const) {
    speakTo(reader);
    expect(said().filter((message) => message.includes('--'))).toEqual([]);
  }
  speakTo('command line');
  expect(said().filter((message) => BARE.test(message.replaceAll(/method lr-curve|a half-life/g, '')))).toEqual([]);
  expect(said()).toContain('--min-members 5 cannot be reached with --last 3');
  expect(said()).toContain('--optimizer has a meaning only with --for resume');
});
