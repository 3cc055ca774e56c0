import type { Colors } from '../../render/colors.ts';
import { warningText } from '../../render/error-text.ts';
import { printable } from '../../render/format.ts';
import { plainNumber } from '../../render/numbers.ts';
import { hasEffect } from '../space/schedule-parameters.ts';
import { progressText } from './now.ts';
import type { StudyEvent, Trial, TrialKind } from './types.ts';
import { scoreText } from './words.ts';

/**
 * A line on stderr about what a study does; empty where there is nothing to say.
 * @param alone whether it stands without the lines before it: what was tried is then said with its score
 */
export function studyLine(event: StudyEvent, colors: Colors, alone = false): string {
  switch (event.type) {
    case 'merging':
      return `merging ${event.trials.length === 1 ? `trial ${event.trials[0]}` : `trials ${event.trials.join(', ')}`} in one read\n`;
    case 'evaluating':
      return `${event.validation ? 'validating' : 'evaluating'} trial ${event.trial}${progressText(event.progress)}: ${aboutTrial(event.kind, event.params)}\n`;
    case 'retry':
      return `trial ${event.trial} asks to be tried again: attempt ${event.attempt + 1} in ${event.pauseSeconds} s\n`;
    case 'trial':
      return `${alone ? '' : '  '}${event.validation ? 'validation of ' : ''}trial ${event.trial.id}${
        alone ? `, ${aboutTrial(event.trial.kind, event.trial.params)}` : ''
      }: ${outcome(event.trial, colors)}\n`;
    case 'note':
      return `${printable(event.text)}\n`;
    case 'warning':
      return warningText(event.warning, colors);
  }
}

/** What a trial is, in a few words: `lambda 0.75`, `the newest checkpoint`. */
function aboutTrial(kind: TrialKind, params: Trial['params']): string {
  const names: Readonly<Partial<Record<TrialKind, string>>> = {
    newest: 'the newest checkpoint',
    uniform: 'the uniform mean',
    sma: 'the mean of the last 10',
    single: 'a checkpoint alone',
    soup: 'a soup',
    window: 'a window',
    mean: 'the plain mean of a window',
  };
  const values = Object.entries(params ?? {})
    .filter(([name]) => hasEffect(name, params!))
    .map(([name, value]) => `${name} ${typeof value === 'number' ? plainNumber(value, 4) : value}`);
  const name = names[kind];
  return [...(name === undefined ? [] : [name]), ...(values.length === 0 ? [] : [values.join(', ')])].join(', ');
}

function outcome({ status, score, stderr, reason, source, seconds, repeatOf }: Trial, colors: Colors): string {
  if (status !== 'complete') return `${colors.yellow(status)}: ${printable(reason ?? '')}`;
  const again = repeatOf === null ? '' : `, again after trial ${repeatOf}`;
  // That a function of the caller's scored it says nothing.
  const where = source === null || source === 'a function' ? '' : `${printable(source)}, `;
  return `${colors.bold(scoreText(score, stderr))} (${where}${seconds.toFixed(1)} s${again})`;
}
