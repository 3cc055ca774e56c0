import { join } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import { directionOf } from '../../checkpoints/results/goal.ts';
import type { Goal } from '../../checkpoints/results/types.ts';
import { formatCount, plural } from '../../render/format.ts';
import type { Live } from '../../render/html/live.ts';
import { type Content, html } from '../../render/html/markup.ts';
import { htmlPage, list, type PageSection } from '../../render/html/page.ts';
import { checkpointLabels } from '../../render/labels.ts';
import type { SpaceParameter } from '../space/types.ts';
import { REPORT_PAGE, replaceFile } from '../study/report-files.ts';
import type { Session } from '../study/session.ts';
import { type StudyIdentity, spentOn, storedGoal, type TrialLine } from '../study/trials-file.ts';
import { scoreText } from '../study/words.ts';
import { progressChart, scoredTrials } from './page-figures.ts';
import { trialTable } from './page-tables.ts';
import { goalWords, spentText, trialCounts } from './words.ts';

/** Trials that the table of a page has which is written again and again. */
const MOST_ROWS = 200;

/** A study as its files have it, under way. */
export interface StudyUnderWay {
  readonly identity: StudyIdentity;
  readonly trials: readonly TrialLine[];
  readonly warnings: readonly Warning[];
}

/** What a kind of study has of its own. */
export interface LiveParts {
  /** As of its last page. */
  readonly title: string;
  /** Sections before the others; of scores, and of no conclusion. */
  readonly sections?: (study: StudyUnderWay, goal: Goal) => readonly PageSection[];
}

/**
 * Has the page of a study written while it goes on: scores, and what is done now. What its last page concludes is
 * concluded once: a look at each score for whether there is a gain yet finds one sooner or later.
 */
export function keepLive({ live, folder, identity, records, study }: Session, parts: LiveParts): void {
  live.begin(async (now) => {
    await folder.assertHeld();
    const written = {
      identity: records.identity(identity),
      trials: study.trials.map((trial) => records.trial(trial)),
      warnings: records.warnings(study.warnings, study.merger.hidden),
    };
    await replaceFile(join(folder.path, REPORT_PAGE), livePage(written, parts, now));
  });
}

/** The page of a study under way as one HTML document. */
export function livePage(study: StudyUnderWay, { title, sections = () => [] }: LiveParts, live: Live): string {
  const { identity, warnings } = study;
  const trials = [...study.trials].sort((a, b) => a.id - b.id);
  const goal = storedGoal(study);
  const metric = identity.metrics.length === 0 ? null : identity.metrics.join(' ');
  const pool = identity.pool.map((m) => identity.members[m]!);
  const labels = checkpointLabels(pool);
  const scored = scoredTrials(trials);
  const best = goal === null || scored.length === 0 ? null : scored.reduce((a, b) => (directionOf(goal).better(b.score, a.score) ? b : a));
  const shown = trials.slice(-MOST_ROWS);
  const table = trialTable(
    { trials: shown, space: { parameters: parametersOf(identity, shown) }, best: null },
    new Map(pool.map(({ path }, i) => [path, labels[i]!])),
  );
  const chart =
    goal === null
      ? []
      : [
          progressChart({
            ...{ trials, goal, metric, noise: identity.noise, baselines: [] },
            kind: identity.kind === 'soup' ? 'soup' : 'search',
            isChain: identity.legs.length > 1,
          }),
        ];
  const facts: ([string, Content] | null)[] = [
    ['Trials so far', `${trials.length}: ${trialCounts(trials)}`],
    ['Members', labels.length < 2 ? (labels[0] ?? 'none') : `${labels.length}: ${labels[0]} to ${labels.at(-1)}`],
    ['Evaluator', html`<code>${identity.evaluator}</code>`],
    ['Score', [metric ?? 'one number', ...(goal === null ? [] : [goalWords(goal)])].join(', ')],
    ['Spent', spentText(spentOn(trials))],
    ['Inputs', html`<code>${identity.inputs.join(' ')}</code>`],
  ];
  const all: (PageSection | null)[] = [
    ...(goal === null || scored.length === 0 ? [] : sections({ ...study, trials }, goal)),
    scored.length === 0 ? null : { title: 'Scores so far', parts: chart },
    trials.length === 0
      ? null
      : {
          title: 'Every trial so far',
          parts: [
            ...(shown.length < trials.length ? [`The last ${shown.length} of ${formatCount(trials.length)}; trials.jsonl has all.`] : []),
            table,
          ],
        },
    warnings.length === 0 ? null : { title: 'Warnings', parts: [list(warnings.map(({ message }) => message))] },
  ];
  const headline =
    best === null
      ? trials.length === 0
        ? 'No trial has ended yet.'
        : `No best score so far, of ${plural(trials.length, 'trial')}.`
      : `Best score so far: ${scoreText(best.score, best.stderr)}, of trial ${best.id}.`;
  return htmlPage({
    title,
    summary: { headline, tone: 'neutral', facts: facts.filter((fact) => fact !== null) },
    sections: all.filter((section) => section !== null),
    live,
  });
}

/** Of a search those of its space; elsewhere what trials are told apart by. */
function parametersOf({ kind, legs }: StudyIdentity, trials: readonly TrialLine[]): readonly SpaceParameter[] {
  if (kind === 'search') return legs.at(-1)?.parameters ?? [];
  return [...new Set(trials.flatMap(({ params }) => Object.keys(params ?? {})))].map((name) => ({ name, kind: 'choice' }));
}
