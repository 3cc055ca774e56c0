import { worded } from '../../base/option-words.ts';
import { treatmentLines } from '../../merge/plan/treatment-table.ts';
import type { Plan } from '../../merge/plan/types.ts';
import type { Colors } from '../../render/colors.ts';
import { asFailure, errorText, warningText } from '../../render/error-text.ts';
import { formatBytes, formatSeconds, formatStep, plural, printable } from '../../render/format.ts';
import type { StrippedSave } from '../strip/types.ts';
import { TOO_LATE } from './hook.ts';
import { scoresLine } from './scores/text.ts';
import type { Looked, WatchEvent } from './types.ts';

/** What a watch says on stderr of an event; empty where it says nothing. */
export function watchLine(event: WatchEvent, colors: Colors): string {
  switch (event.type) {
    case 'started':
      return `watching ${printable(event.run)}, merges go to ${printable(event.output)}\n`;
    case 'waiting':
      return `not merged: ${printable(event.reason.includes(event.path) ? event.reason : `${event.path}: ${event.reason}`)}\n`;
    case 'pinned':
    case 'unpinned':
    case 'removed':
      return `${event.type} ${printable(event.path)}\n`;
    case 'round': {
      const step = event.step === null ? '' : ` (step ${formatStep(event.step)})`;
      const members = event.windows.length > 1 ? `windows of ${listed(event.windows)}` : plural(event.members.length, 'checkpoint');
      return `merging ${members} up to ${printable(event.checkpoint)}${step}\n${event.notes.map((note) => `  ${printable(note)}\n`).join('')}`;
    }
    case 'keeping':
      if (event.saves === null) return `${colors.yellow('which saves to keep cannot be said')}: ${printable(event.error ?? '')}\n`;
      // Of rounds that are still to come some saves stay: it is said when they are done.
      if (event.due) return '';
      return `keep ${plural(event.saves.keep.length, 'save')}; lines that delete the other ${event.saves.delete.length} are in ${printable(event.lines)}\n`;
    case 'strip':
      return event.event.type === 'copy'
        ? `copying the model of ${printable(event.event.save.path)} (${event.event.number} of ${event.event.count})\n`
        : '';
    case 'copied':
      return `${event.save.state === 'made' ? 'copied' : 'checked'} ${printable(event.save.copy)}${lossText(event.save)}\n`;
    case 'uncopied':
      return `${errorText(asFailure(event.error), colors, false)}${printable(event.path)} ${event.again ? 'will be copied at a later look' : 'has no copy until something of it changes'}; the watch goes on\n`;
    case 'stripping':
      return `${plural(event.copies.length, 'save')} ${event.copies.length === 1 ? 'has a copy' : 'have copies'} without the trainer's state; lines that put them in place, which frees ${formatBytes(event.frees)}, are in ${printable(event.lines)}\n`;
    case 'idle':
      return `nothing is due: ${idleText(event)}\n`;
    case 'hooking':
      return `running the hook for ${printable(event.output)}\n`;
    case 'hook': {
      const how = event.exitCode === TOO_LATE ? ' (it took too long)' : '';
      return `${colors.yellow('the hook failed')} with exit code ${event.exitCode}${how} for ${printable(event.output)}, which stays${event.log === null ? '' : ` (${printable(event.log)})`}\n`;
    }
    case 'failed':
      return `${errorText(asFailure(event.error), colors, false)}${printable(event.checkpoint)} ${event.again ? 'will be tried again' : 'has no merge; the watch goes on'}\n`;
    case 'scoring':
      return `scores go to ${printable(event.folder)}, shown in ${printable(event.page)}${event.waiting === 0 ? '' : `; ${event.waiting} wait`}\n`;
    case 'warning':
      return warningText(event.warning, colors);
    default:
      return scoresLine(event, colors);
  }
}

function listed(counts: readonly number[]): string {
  return `${counts.slice(0, -1).join(', ')} and ${counts.at(-1)}`;
}

/** What goes with a save that the copy takes the place of. */
function lossText({ path, loses }: StrippedSave): string {
  if (loses.length === 0) return '';
  return `; in the place of ${printable(path)} it has none of ${loses.map((name) => printable(name)).join(', ')}`;
}

function idleText({ checkpoints, newest, unusable }: Looked): string {
  const others = unusable === 0 ? '' : `; ${unusable} more cannot be used yet, or at all`;
  if (newest === null) return `the run has no complete checkpoint${others}`;
  const done = 'no window of them is left to merge: each is merged once, with the options of then, and other options are for what comes';
  return worded`the run has ${plural(checkpoints, 'complete checkpoint')} up to ${printable(newest)}, and ${done} (--output with another folder merges them anew)${others}`;
}

/**
 * What the merge of a round does with tensors of which role; empty where all of them are treated alike. An
 * accumulator treats them as its merge does.
 */
export function treatmentText({ outputs }: Pick<Plan, 'outputs'>): string {
  return treatmentLines(outputs.at(-1)!.treatments)
    .map((line) => `${line}\n`)
    .join('');
}

/** What a watch prints on stdout when a merge is there. */
export function mergedLine({ output, record }: WatchEvent & { type: 'merged' }, colors: Colors): string {
  const took = record.seconds === null ? '' : ` in ${formatSeconds(record.seconds)}`;
  return `${colors.green('merged')} ${plural(record.members.length, 'checkpoint')} into ${colors.bold(printable(output))}${took}\n`;
}
