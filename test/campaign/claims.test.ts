import { describe, expect, it } from 'vitest';
import { concludedGrid } from '../../bench/peers/claims-ours.js';
import { normalOf, randomOf } from '../../src/base/numbers/random.ts';
import { concludeArtefact } from '../../src/search/conclusion/artefact.ts';
import { concludeRecipes } from '../../src/search/conclusion/replicates.ts';
import { covarianceRoot } from '../../src/search/gaussian-process/linear-algebra.ts';
import { normalCdf, normalQuantile } from '../../src/search/gaussian-process/normal.ts';

describe('of 20 simulated grids of 24 outputs', () => {
  const parts = { concludeArtefact, concludeRecipes, randomOf, normalOf, normalQuantile, normalCdf, covarianceRoot };
  const outcomes = (effect: 'equal' | 'one') =>
    Array.from({ length: 20 }, (_, seed) => concludedGrid(parts, { kind: 'accuracy', items: [500], correlation: 0.8, effect }, seed));

  it('a gain is claimed in at most two where there is none, and the intervals hold', () => {
    const equal = outcomes('equal');
    expect(equal.filter(({ claimed }) => claimed).length).toBeLessThanOrEqual(2);
    expect(equal.filter(({ held }) => held).length).toBeGreaterThanOrEqual(17);
    // What is told is not what was observed, which is too high by one standard error.
    const mean = (of: 'excess' | 'luck') => equal.reduce((sum, outcome) => sum + outcome[of] / 20, 0);
    expect(mean('luck')).toBeGreaterThan(0.5);
    expect(Math.abs(mean('excess'))).toBeLessThan(0.5);
  });

  it('one that is better by four standard errors is claimed in at least 14', () => {
    const one = outcomes('one');
    expect(one.filter(({ claimed }) => claimed).length).toBeGreaterThanOrEqual(14);
    expect(one.filter(({ held }) => held).length).toBeGreaterThanOrEqual(17);
    expect(one.filter(({ best }) => best).length).toBeGreaterThanOrEqual(18);
  });
});
