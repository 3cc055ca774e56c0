/**
 * Simulated grids whose truth is known, concluded as `merge grid` concludes them. What it runs is handed in, so
 * that a test runs the sources and the bench what is built from them.
 *
 * @typedef {object} Parts
 * @property {typeof import('../../src/search/conclusion/artefact.ts').concludeArtefact} concludeArtefact
 * @property {typeof import('../../src/search/conclusion/replicates.ts').concludeRecipes} concludeRecipes
 * @property {typeof import('../../src/base/numbers/random.ts').randomOf} randomOf
 * @property {typeof import('../../src/base/numbers/random.ts').normalOf} normalOf
 * @property {typeof import('../../src/search/gaussian-process/normal.ts').normalQuantile} normalQuantile
 * @property {typeof import('../../src/search/gaussian-process/normal.ts').normalCdf} normalCdf
 * @property {typeof import('../../src/search/gaussian-process/linear-algebra.ts').covarianceRoot} covarianceRoot
 *
 * @typedef {'equal' | 'worse' | 'one' | 'all' | 'smooth' | 'spread' | 'broken'} Effect
 *
 * @typedef {object} Cell
 * @property {'loss' | 'accuracy'} kind
 * @property {readonly number[]} items of each task
 * @property {number} correlation of the arms' answers to an item (of accuracies: of what decides them)
 * @property {Effect} effect
 * @property {boolean} [uneven] arms whose answers spread differently: 0.7 to 1.6
 *
 * @typedef {object} Outcome
 * @property {boolean} claimed
 * @property {boolean} wrong claimed, and not better than every reference
 * @property {boolean} held the interval holds the true gain over the better reference
 * @property {boolean} best the arm that was chosen is the truly best one
 * @property {number} excess of the gain that is told over the true one, in standard errors of a difference
 * @property {number} luck the same of the gain that was observed
 * @property {number} width of the interval, in the same unit
 */

/** 3 windows x 4 shapes x 2 strides, then the newest and the plain mean. */
const AXES = /** @type {const} */ ([
  { kind: 'levels', count: 3 },
  { kind: 'choice', count: 4 },
  { kind: 'levels', count: 2 },
]);
const POINTS = Array.from({ length: 24 }, (_, i) => [Math.floor(i / 8) / 2, (Math.floor(i / 2) % 4) / 3, i % 2]);
const ARMS = POINTS.length;
const MODELS = ARMS + 2;
/** Of the newest and the mean, of which a share of items is answered right. */
const ACCURACY = 0.55;

/** @param {Cell} cell */
export const cellName = ({ kind, items, correlation, effect, uneven }) =>
  `${kind}, ${items.join(' + ')} items, correlation ${correlation}, ${effect}${uneven ? ', uneven' : ''}`;

/**
 * @param {Parts} parts @param {Cell} cell @param {number} seed
 * @returns {Outcome}
 */
export function concludedGrid(parts, cell, seed) {
  const { scores, truth, error } = simulated(parts, cell, seed);
  const scoreOf = (/** @type {number} */ model) => {
    const weight = 1 / cell.items.length;
    const means = scores[model].map((list) => list.reduce((sum, value) => sum + value, 0) / list.length);
    return {
      score: means.reduce((sum, mean) => sum + weight * mean, 0),
      stderr: null,
      items: scores[model].map((list, task) => ({ name: `t${task}`, weight, digest: `t${task}`, scores: list })),
    };
  };
  const { gainClaimed, chosen, against, gain, interval, observed } = parts.concludeArtefact({
    goal: cell.kind === 'loss' ? 'minimize' : 'maximize',
    axes: AXES,
    arms: POINTS.map((point, i) => ({ name: String(i), point, control: false, score: scoreOf(i) })),
    references: [
      { name: 'newest', label: 'newest', score: scoreOf(ARMS) },
      { name: 'uniform', label: 'plain mean', score: scoreOf(ARMS + 1) },
    ],
  });
  const own = truth[Number(chosen)];
  const gained = own - truth[against === 'newest' ? ARMS : ARMS + 1];
  return {
    claimed: gainClaimed,
    wrong: gainClaimed && own <= Math.max(truth[ARMS], truth[ARMS + 1]),
    held: interval !== null && gained >= interval[0] && gained <= interval[1],
    best: own === Math.max(...truth.slice(0, ARMS)),
    excess: (Number(gain) - gained) / error,
    luck: (Number(observed) - gained) / error,
    width: interval === null ? Number.NaN : (interval[1] - interval[0]) / error,
  };
}

/**
 * Scores by model, task and item, true scores of which larger is better, and a standard error of the difference
 * between two models.
 *
 * @param {Parts} parts @param {Cell} cell @param {number} seed
 */
function simulated({ randomOf, normalOf, normalQuantile, normalCdf, covarianceRoot }, { kind, items, correlation, effect, uneven }, seed) {
  const normal = normalOf(randomOf(seed, 7));
  const spreads = Array.from({ length: MODELS }, (_, i) => (uneven ? 0.7 + (0.9 * ((i * 7) % MODELS)) / MODELS : 1));
  const root = covarianceRoot(answers(correlation), MODELS, 1e-14);
  const gains = gainsOf(effect, randomOf(seed, 8), normal);
  const weight = 1 / items.length;
  const unevenness = kind === 'loss' ? ITEM_SPREAD : 0;
  // Of a difference on one item: of losses by their spread, of accuracies by how many are answered differently.
  const single = (/** @type {number} */ i) =>
    kind === 'accuracy'
      ? Math.sqrt(2 * differently(correlation, normalQuantile, normalCdf))
      : Math.exp(unevenness ** 2) * Math.sqrt(spreads[i] ** 2 + spreads[ARMS] ** 2 - 2 * correlation * spreads[i] * spreads[ARMS]);
  const share = Math.sqrt(items.reduce((sum, count) => sum + weight ** 2 / count, 0));
  const truth = Array.from({ length: MODELS }, (_, i) => (i < ARMS ? gains[i] * single(i) * share : 0));
  const thresholds = truth.map((gain) => normalQuantile(1 - Math.min(0.99, Math.max(0.01, ACCURACY + gain))));
  const scores = Array.from({ length: MODELS }, () => items.map((count) => new Array(count).fill(0)));
  const z = new Float64Array(MODELS);
  items.forEach((count, task) => {
    for (let item = 0; item < count; item++) {
      // Some items tell models apart more than others do.
      const scale = Math.exp(unevenness * normal());
      for (let i = 0; i < MODELS; i++) z[i] = normal();
      for (let i = 0; i < MODELS; i++) {
        let answer = 0;
        for (let j = 0; j <= i; j++) answer += root[i * MODELS + j] * z[j];
        scores[i][task][item] = kind === 'accuracy' ? Number(answer > thresholds[i]) : 2 - scale * spreads[i] * answer - truth[i];
      }
    }
  });
  return { scores, truth, error: single(0) * share };
}

/** Standard deviation of the logarithm of how far models differ on an item. */
const ITEM_SPREAD = 0.4;

/**
 * True gains over the newest and the mean, in standard errors of the paired difference.
 *
 * @param {Effect} effect @param {() => number} random @param {() => number} normal
 */
function gainsOf(effect, random, normal) {
  const one = Math.floor(random() * ARMS);
  /** @type {Readonly<Record<Effect, (arm: number) => number>>} */
  const gains = {
    equal: () => 0,
    worse: () => -1,
    one: (arm) => (arm === one ? 4 : 0),
    all: () => 1,
    smooth: (arm) => 2 * (POINTS[arm][0] - 0.5) + POINTS[arm][1] - 0.5,
    spread: () => 1.5 * normal(),
    broken: (arm) => (arm % 6 === 0 ? -25 : 0),
  };
  return POINTS.map((_, arm) => gains[effect](arm));
}

/** Correlations of the answers to an item: arms that are neighbours along the axes answer more alike. */
function answers(/** @type {number} */ correlation) {
  return Float64Array.from({ length: MODELS * MODELS }, (_, at) => {
    const [i, j] = [Math.floor(at / MODELS), at % MODELS];
    if (i === j) return 1;
    if (i >= ARMS || j >= ARMS) return correlation;
    const distance = AXES.reduce((sum, { kind }, a) => {
      const apart = Math.abs(POINTS[i][a] - POINTS[j][a]);
      return sum + (kind === 'choice' ? Number(apart > 0) : apart);
    }, 0);
    return correlation + (1 - correlation) * 0.6 * 0.5 ** distance;
  });
}

/**
 * Probability that one of two models answers right and the other does not, half of it: P(X > t, Y ≤ t).
 *
 * @param {number} correlation
 * @param {Parts['normalQuantile']} normalQuantile @param {Parts['normalCdf']} normalCdf
 */
function differently(correlation, normalQuantile, normalCdf) {
  const threshold = normalQuantile(1 - ACCURACY);
  const steps = 400;
  let sum = 0;
  for (let i = 0; i < steps; i++) {
    const x = normalQuantile(1 - ACCURACY + (ACCURACY * (i + 0.5)) / steps);
    sum += (ACCURACY / steps) * normalCdf((threshold - correlation * x) / Math.sqrt(1 - correlation ** 2));
  }
  return sum;
}

/** Of a merge's score, beside the noise of its members: no score is linear in weights. */
const OWN_NOISE = 0.2;

/**
 * @typedef {object} RecipeCell
 * @property {number} endpoints
 * @property {number} window members of a mean at each endpoint
 * @property {number} stride saves between endpoints
 * @property {number} reference members of the mean that they are compared with; 1 is the newest
 * @property {number} recipes
 * @property {number} gain true gain of the first one, in standard deviations of a save's score
 */

/**
 * Recipes along a simulated run: each save has noise of its own, scores are of the weighted saves. Recipes are means of windows of different width.
 *
 * @param {Parts} parts @param {RecipeCell} cell @param {number} seed
 */
export function concludedRecipes({ concludeRecipes, randomOf, normalOf }, { endpoints, window, stride, reference, recipes, gain }, seed) {
  const normal = normalOf(randomOf(seed, 9));
  const saves = Array.from({ length: endpoints * stride + window + recipes }, normal);
  const at = (/** @type {number} */ e) => window + recipes + e * stride;
  const ending = (/** @type {number} */ last, /** @type {number} */ members) =>
    new Map(Array.from({ length: members }, (_, i) => [String(last - i), 1 / members]));
  const scored = (/** @type {number} */ members, /** @type {number} */ truth) =>
    Array.from({ length: endpoints }, (_, e) => {
      const weights = ending(at(e), members);
      const noise = [...weights].reduce((sum, [save, weight]) => sum + weight * saves[Number(save)], 0);
      return { endpoint: at(e), score: truth + noise + OWN_NOISE * normal(), weights };
    });
  const { gainClaimed, chosen, rows } = concludeRecipes({
    goal: 'maximize',
    recipes: Array.from({ length: recipes }, (_, i) => ({
      name: String(i),
      control: false,
      endpoints: scored(window + i, i === 0 ? gain : 0),
    })),
    references: [{ name: 'newest', label: 'newest', endpoints: scored(reference, 0) }],
  });
  const { interval, effective } = rows[0].differences[0];
  return {
    claimed: gainClaimed,
    wrong: gainClaimed && !(gain > 0 && chosen === '0'),
    judged: interval !== null,
    held: interval !== null && gain >= interval[0] && gain <= interval[1],
    effective,
  };
}
