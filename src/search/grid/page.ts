import { groupBy } from '../../base/group-by.ts';
import { formatSeconds, formatStep, plural } from '../../render/format.ts';
import { type Column, table } from '../../render/html/figure.ts';
import { type ChartPoint, lineChart, type Series } from '../../render/html/line-chart.ts';
import { type Content, html } from '../../render/html/markup.ts';
import { badge, htmlPage, list, type PageSection } from '../../render/html/page.ts';
import { scoreLabel } from '../optimise/page-figures.ts';
import { firstSentence, gainText, goalWords, probabilityText, spentText, trialCounts } from '../optimise/words.ts';
import { headlineOf } from './conclude.ts';
import type { ArmScore, GridScores } from './types.ts';
import { armScoreText, EARLIER, endText, overText, shapeText, wasGiven, windowRows } from './words.ts';

/** What its page is called. */
export const GRID_TITLE = 'Scores of a grid of merges';

/** Columns of shapes that a table takes; of more the table of all outputs tells. */
const MOST_SHAPES = 10;
/** Lines in a chart that can be told apart. */
const MOST_LINES = 6;

/** The report of a grid's scores as one HTML document. */
export function gridPage(document: GridScores): string {
  const { outputs, references, artefact, recipes, notes, trials, warnings, reads } = document;
  const [headline, rest] = firstSentence(artefact.text);
  const first = headlineOf(artefact);
  const ends = [...new Set(outputs.map(({ axes }) => Number(axes.endpoint)))];
  const facts: ([string, Content] | null)[] = [
    [
      'Outputs',
      `${plural(outputs.length, 'output')} at ${plural(ends.length, 'endpoint')}, ${outputs.filter(({ control }) => control).length} of them controls`,
    ],
    first.gain === null
      ? null
      : [
          'Gain',
          html`${gainText(first.gain, first.std)} ${first.basis === 'validation' ? 'on the second set' : 'estimated'}, over ${first.against}`,
        ],
    first.probability === null ? null : ['Better with a probability of', probabilityText(first.probability)],
    ['Score', `${document.metric ?? 'one number'}, ${goalWords(document.goal)}`],
    ['Evaluator', html`<code>${document.evaluator}</code>`],
    ['Trials', `${trials.length}: ${trialCounts(trials)}`],
    reads === 0 ? null : ['The run was read', reads === 1 ? 'once' : `${reads} times`],
    wasGiven(document) ? null : ['Spent', spentText(document)],
    ['Run', html`<code>${document.run}</code>`],
  ];
  const scored = [...outputs, ...references].some(({ score }) => score !== null);
  const sections: (PageSection | null)[] = [
    { title: 'Is this output better?', parts: [artefact.text, ...artefactTables(document)] },
    { title: 'Is this recipe better?', parts: [recipes.text, ...recipeTable(document)] },
    scored ? { title: 'Scores', parts: [...alongRun(document), ...shapeTable(document)] } : null,
    { title: 'All outputs', parts: outputTables(document) },
    failureSection(document),
    warnings.length === 0 ? null : { title: 'Warnings', parts: [list(warnings.map(({ message }) => message))] },
  ];
  return htmlPage({
    title: GRID_TITLE,
    summary: {
      headline,
      tone: first.gainClaimed ? 'good' : scored ? 'neutral' : 'bad',
      findings: [rest, recipes.text, ...notes].filter((text) => text !== ''),
      facts: facts.filter((fact) => fact !== null),
    },
    sections: sections.filter((section) => section !== null),
  });
}

const number = (label: string): Column => ({ label, kind: 'number' });

/** What the conclusions take each output at the newest endpoint for. */
function artefactTables({ artefact }: GridScores) {
  const tables = [artefact.overNewest, artefact].flatMap((conclusion) => {
    const judged = conclusion?.rows.filter(({ gain }) => gain !== null) ?? [];
    if (judged.length === 0) return [];
    const rows = judged
      .toSorted((a, b) => b.gain! - a.gain!)
      .map(({ name, gain, std, observed }) => [
        html`${name}${name === artefact.best ? html` ${badge('neutral', 'chosen')}` : null}`,
        gainText(gain!, std),
        observed === null ? '–' : gainText(observed),
      ]);
    const over = conclusion!.against;
    return [table([{ label: 'Output', kind: 'name' }, number(`Gain over ${over}, estimated (+ is better)`), number('As observed')], rows)];
  });
  if (tables.length === 0) return [];
  return [
    ...tables,
    'The estimated gain is what is to be expected on other items, of what it is compared with as well: large gains are pulled towards those of the others, as the best of many observed gains is best partly by luck.',
  ];
}

function recipeTable({ recipes }: GridScores) {
  const judged = recipes.rows.filter(({ differences }) => differences.some(({ endpoints }) => endpoints > 0));
  if (judged.length === 0) return [];
  const count = Math.max(...judged.map(({ differences }) => differences.length));
  const rows = judged.map(({ name, control, differences }) => [
    html`${name}${control ? html` ${badge('notice', 'control')}` : null}`,
    ...differences.map(({ gain, error, endpoints, effective }) =>
      gain === null ? '–' : `${gainText(gain, error)} (${endpoints} endpoints, worth ${effective.toPrecision(2)})`,
    ),
  ]);
  return [
    table([{ label: 'Recipe', kind: 'name' }, ...Array.from({ length: count }, (_, i) => number(`Over ${recipes.references[i]}`))], rows),
  ];
}

/** What is chosen, the newest, plain means and the other recipes along the run; what has the same scores is one line. */
function alongRun(document: GridScores) {
  const { outputs, references, recipes, artefact } = document;
  if (new Set(outputs.map(({ axes }) => axes.endpoint)).size < 2) return [];
  const lineOf = (label: string, all: readonly (ArmScore & { readonly x: number })[]) => ({
    label,
    trials: all.map(({ trial }) => trial).join(),
    points: all
      .flatMap(({ x, score, stderr }): ChartPoint[] => (score === null ? [] : [{ x, y: score, ...(stderr !== null && { error: stderr }) }]))
      .sort((a, b) => a.x - b.x),
  });
  const ofRecipe = (recipe: string) =>
    lineOf(
      recipe,
      outputs.filter((output) => output.recipe === recipe).map((output) => ({ ...output, x: Number(output.axes.endpoint) })),
    );
  const ofReference = (window: string | null) =>
    lineOf(
      window === null ? 'newest' : `mean of ${window}`,
      references.filter((one) => one.window === window).map((one) => ({ ...one, x: one.endpoint })),
    );
  const taken = outputs.find(({ name }) => name === artefact.best)?.recipe;
  const takenMean = references.find(({ name }) => name === artefact.best);
  const others = new Set(outputs.flatMap(({ recipe, control }) => (control ? [] : [recipe])));
  const lines = [
    ...(taken === undefined ? [] : [ofRecipe(taken)]),
    ...(takenMean === undefined ? [] : [ofReference(takenMean.window)]),
    ...(recipes.chosen === null ? [] : [ofRecipe(recipes.chosen)]),
    ...[...new Set([null, ...references.map(({ window }) => window)])].map(ofReference),
    ...[...others].map(ofRecipe),
  ].filter(({ points }) => points.length > 0);
  const series = [...groupBy(lines, ({ trials }) => trials).values()].map(
    (same): Series => ({ label: [...new Set(same.map(({ label }) => label))].join(' = '), points: same[0]!.points }),
  );
  const hasErrors = series.some(({ points }) => points.some(({ error }) => error !== undefined));
  return [
    lineChart({
      title: 'Along the run',
      note: `${hasErrors ? "Error bars are the evaluator's standard errors, of drawing the same items for all." : 'The evaluator gives no standard errors.'}${series.length > MOST_LINES ? ` The first ${MOST_LINES} of ${series.length} lines; the table has all.` : ''}`,
      x: { label: 'step', format: formatStep },
      y: { label: scoreLabel(document) },
      series: series.slice(0, MOST_LINES),
    }),
  ];
}

/** By window and endpoint a line, by shape a column. */
function shapeTable(document: GridScores) {
  const rows = windowRows(document);
  const shapes = [...new Set(rows.flatMap(({ outputs }) => [...outputs.keys()]))];
  if (shapes.length > MOST_SHAPES) return [];
  const cell = (score: ArmScore | undefined) => (score === undefined ? '–' : armScoreText(score));
  return [
    table(
      [{ label: 'Up to' }, { label: 'Window' }, number('Newest'), number('Plain mean'), ...shapes.map(number)],
      rows.map(({ end, earlier, window, newest, mean, outputs }) => [
        `${end}${earlier ? ' (earlier)' : ''}`,
        window,
        cell(newest),
        cell(mean),
        ...shapes.map((shape) => cell(outputs.get(shape))),
      ]),
    ),
  ];
}

function outputTables({ outputs, artefact }: GridScores) {
  const rows = outputs
    .toSorted((a, b) => Number(b.axes.endpoint) - Number(a.axes.endpoint))
    .map((output) => [
      html`${output.name}${output.name === artefact.best ? html` ${badge('neutral', 'chosen')}` : null}${output.control ? html` ${badge('notice', 'control')}` : null}`,
      `${endText(output)}${output.earlier ? ' (earlier)' : ''}`,
      String(output.axes.window),
      shapeText(output),
      armScoreText(output),
      overText(output.overNewest),
      overText(output.overMean),
      output.flags.join('; '),
    ]);
  const columns: Column[] = [{ label: 'Output', kind: 'name' }, { label: 'Up to' }, { label: 'Window' }, { label: 'Shape' }];
  const all = table(
    [...columns, number('Score'), number('Gain over the newest (+ is better)'), number('Gain over the plain mean'), { label: 'Crosses' }],
    rows,
  );
  return outputs.some(({ earlier }) => earlier) ? [all, EARLIER] : [all];
}

function failureSection({ outputs, references, trials }: GridScores): PageSection | null {
  const rows = [...outputs, ...references]
    .filter(({ trial, score }) => trial !== null && score === null)
    .map(({ name, trial, reason }) => [trial, name, reason, formatSeconds(trials.find(({ id }) => id === trial)?.seconds ?? 0)]);
  if (rows.length === 0) return null;
  const columns: Column[] = [number('Trial'), { label: 'Output', kind: 'name' }, { label: 'Reason' }, number('Evaluation')];
  return { title: 'What has no score', parts: [table(columns, rows)] };
}
