/**
 * Is the best of a grid better, or lucky? Simulated grids of 24 arms, 1,000 seeds a row: how often a gain is
 * claimed, how often wrongly, and how often the interval of the arm that was chosen holds its true gain. Then
 * recipes over endpoints whose windows overlap. Takes some ten minutes of a core; `--seeds 100` a tenth of that.
 */
import { normalOf, randomOf } from '../dist/base/numbers/random.js';
import { concludeArtefact } from '../dist/search/conclusion/artefact.js';
import { concludeRecipes } from '../dist/search/conclusion/replicates.js';
import { covarianceRoot } from '../dist/search/gaussian-process/linear-algebra.js';
import { normalCdf, normalQuantile } from '../dist/search/gaussian-process/normal.js';
import { cellName, concludedGrid, concludedRecipes } from './peers/claims-ours.js';
import { table } from './support/measure.js';

const PARTS = { concludeArtefact, concludeRecipes, randomOf, normalOf, normalQuantile, normalCdf, covarianceRoot };

/** @type {readonly import('./peers/claims-ours.js').Cell[]} */
const CELLS = [
  ...ofEffects({ kind: 'loss', items: [200], correlation: 0.5 }, ['equal', 'worse', 'one', 'all', 'smooth', 'spread', 'broken']),
  ...ofEffects({ kind: 'loss', items: [1000], correlation: 0.98, uneven: true }, ['equal', 'one', 'spread']),
  ...ofEffects({ kind: 'accuracy', items: [200], correlation: 0.5 }, ['equal', 'one']),
  ...ofEffects({ kind: 'accuracy', items: [200], correlation: 0.98 }, ['equal', 'one', 'spread']),
  ...ofEffects({ kind: 'accuracy', items: [1000], correlation: 0.9 }, ['equal', 'worse', 'one', 'spread']),
  ...ofEffects({ kind: 'accuracy', items: [5000], correlation: 0.98 }, ['equal', 'one']),
  ...ofEffects({ kind: 'accuracy', items: [1000, 300, 200], correlation: 0.9 }, ['equal', 'one']),
];

/** @type {readonly import('./peers/claims-ours.js').RecipeCell[]} */
const RECIPES = [
  { endpoints: 8, window: 4, stride: 4, reference: 1, recipes: 1, gain: 0 },
  { endpoints: 24, window: 12, stride: 2, reference: 1, recipes: 1, gain: 0 },
  { endpoints: 24, window: 12, stride: 2, reference: 4, recipes: 1, gain: 0 },
  { endpoints: 24, window: 12, stride: 2, reference: 4, recipes: 6, gain: 0 },
  { endpoints: 24, window: 12, stride: 2, reference: 4, recipes: 6, gain: 0.5 },
];

/** @param {import('./support/context.js').Context} context */
export default async function claims({ seeds }) {
  /** With its standard error over the seeds. @param {number} share */
  const percent = (share) => `${(100 * share).toFixed(1)} ± ${(100 * Math.sqrt((share * (1 - share)) / seeds)).toFixed(1)} %`;
  const rows = CELLS.map((cell) => {
    const outcomes = Array.from({ length: seeds }, (_, seed) => concludedGrid(PARTS, cell, seed));
    const row = {
      cell: cellName(cell),
      ...{ claimed: shareOf(outcomes, 'claimed'), wrong: shareOf(outcomes, 'wrong'), held: shareOf(outcomes, 'held') },
      ...{
        best: shareOf(outcomes, 'best'),
        excess: meanOf(outcomes, 'excess'),
        luck: meanOf(outcomes, 'luck'),
        width: meanOf(outcomes, 'width'),
      },
    };
    console.log(`${row.cell}: claimed ${percent(row.claimed)}, interval holds ${percent(row.held)}`);
    return row;
  });
  table(
    rows.map(({ cell, claimed, wrong, held, best, excess, luck, width }) => ({
      ...{
        cell,
        claimed: percent(claimed),
        'wrongly claimed': percent(wrong),
        'interval holds': percent(held),
        'best chosen': percent(best),
      },
      ...{
        'gain told, too high by': `${excess.toFixed(2)} se`,
        'observed gain, too high by': `${luck.toFixed(2)} se`,
        width: `${width.toFixed(1)} se`,
      },
    })),
  );
  const recipes = RECIPES.map((cell) => {
    const outcomes = Array.from({ length: seeds }, (_, seed) => concludedRecipes(PARTS, cell, seed));
    const judged = outcomes.filter((outcome) => outcome.judged);
    return {
      ...cell,
      effective: outcomes[0].effective,
      claimed: shareOf(outcomes, 'claimed'),
      wrong: shareOf(outcomes, 'wrong'),
      held: judged.length === 0 ? null : shareOf(judged, 'held'),
    };
  });
  table(
    recipes.map(({ endpoints, window, stride, reference, recipes: of, gain, effective, claimed, wrong, held }) => ({
      ...{ endpoints, window, stride, reference, recipes: of, gain, 'worth endpoints': effective.toFixed(1), claimed: percent(claimed) },
      ...{ 'wrongly claimed': percent(wrong), 'interval holds': held === null ? 'not judged' : percent(held) },
    })),
  );
  return { seeds, rows, recipes };
}

/**
 * @param {Omit<import('./peers/claims-ours.js').Cell, 'effect'>} cell
 * @param {readonly import('./peers/claims-ours.js').Effect[]} effects
 */
function ofEffects(cell, effects) {
  return effects.map((effect) => ({ ...cell, effect }));
}

/** @template {string} K @param {readonly Readonly<Record<K, boolean>>[]} rows @param {K} of */
const shareOf = (rows, of) => rows.filter((row) => row[of]).length / rows.length;

/** @template {string} K @param {readonly Readonly<Record<K, number>>[]} rows @param {K} of */
const meanOf = (rows, of) => rows.reduce((sum, row) => sum + row[of], 0) / rows.length;
