import type { Colors } from '../../../render/colors.ts';
import { formatStep, printable } from '../../../render/format.ts';
import { gainText } from '../../../search/optimise/words.ts';
import { scoreText } from '../../../search/study/words.ts';
import type { WatchEvent } from '../types.ts';
import type { WatchScores } from './types.ts';

/** What a watch says on stderr of scores; empty where it says nothing. */
export function scoresLine(event: WatchEvent, colors: Colors): string {
  switch (event.type) {
    case 'evaluating':
      return `scoring ${printable(event.name)}${waitText(event.waiting)}\n`;
    case 'scored': {
      const { name, step, kind, score, stderr, single, over, waiting } = event;
      const own = colors.bold(scoreText(score, stderr));
      if (kind === 'single') return `step ${formatStep(step)}: single ${own}${waitText(waiting)}\n`;
      const beside = over === null ? '' : `, single ${scoreText(single, null)}: ${overText(over)}`;
      return `step ${formatStep(step)}: merged ${own}${beside} (${printable(name)})${waitText(waiting)}\n`;
    }
    case 'unscored':
      return `${colors.yellow('no score')} of ${printable(event.name)}: ${printable(event.reason)}${event.log === null ? '' : ` (${printable(event.log)})`}${waitText(event.waiting)}\n`;
    case 'retry':
      return `trial ${event.trial} asks to be tried again: attempt ${event.attempt + 1} in ${event.pauseSeconds} s\n`;
    default:
      return '';
  }
}

function waitText(waiting: number): string {
  return waiting === 0 ? '' : `; ${waiting} ${waiting === 1 ? 'waits' : 'wait'} to be scored`;
}

function overText({ gain, error, paired }: { readonly gain: number; readonly error: number | null; readonly paired: boolean }): string {
  const how = error === null ? '' : paired ? ', paired by item' : ', not paired';
  return `${gainText(gain, error)} (+ is better${how})`;
}

/** The newest endpoint at which a merge and the checkpoint alone have scores. Says what is there, and claims nothing. */
export function latestText({ endpoints }: Pick<WatchScores, 'endpoints'>): string {
  const last = endpoints.findLast(({ single, merges }) => single?.score != null && merges.some(({ over }) => over !== null));
  if (last === undefined) return 'No merge has a score beside that of the checkpoint alone yet.';
  const merges = last.merges.flatMap(({ recipe, score, stderr, over }) =>
    over === null ? [] : [`${recipe} ${scoreText(score, stderr)} (${gainText(over.gain, over.error)})`],
  );
  return `At step ${formatStep(last.step)} the checkpoint alone has ${scoreText(last.single!.score, last.single!.stderr)}, merged ${merges.join(', ')}; + is better.`;
}

/** Endpoints that the terminal shows, newest last. */
const SHOWN = 20;

/** What the scores of a watch come to, for a terminal. */
export function watchScoresText(document: WatchScores): string {
  const { endpoints, conclusion } = document;
  const lines = endpoints.slice(-SHOWN).map(({ step, single, merges }) => {
    const merged = merges.map(({ recipe, score, stderr, over }) => {
      const gain = over === null ? '' : ` (${gainText(over.gain, over.error)})`;
      return `${recipe} ${score === null ? 'no score' : scoreText(score, stderr)}${gain}`;
    });
    return `  step ${formatStep(step)}  single ${single?.score == null ? '–' : scoreText(single.score, single.stderr)}  ${merged.join('  ')}`;
  });
  const left = endpoints.length > SHOWN ? [`  … and ${endpoints.length - SHOWN} before`] : [];
  return [...left, ...lines, ...(conclusion === null ? [latestText(document)] : [conclusion.text]), ''].join('\n');
}
