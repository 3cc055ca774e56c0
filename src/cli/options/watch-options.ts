import type { Command } from 'commander';
import { MOST } from '../../base/limits.ts';
import { mergeOption } from './merge-options.ts';
import { choiceOption, flag, listOption, timeoutOption, valueOption } from './options.ts';
import { atLeast, keptSteps, laterWindows, saveEvery } from './retention-options.ts';
import { addWatchScoreOptions } from './search-options.ts';
import { duration, parseNumber, parsePath, parsePositiveInteger, parseText, wholeNumber } from './values.ts';

/** What a watch makes, when, and what becomes of it. */
export function addWatchOptions(command: Command): Command {
  command
    .usage('RUN -o DIR [options]')
    .optionsGroup('Output:')
    .addOption(valueOption('-o, --output <path>', 'folder for the merges, as merged-checkpoint-12000 (required)', parsePath))
    .addOption(valueOption('--keep <n>', 'newest merges to keep, or all; older ones of this watch are removed (default: 3)', parseKeep))
    .addOption(
      valueOption(
        '--hook <command>',
        'shell command to run with each merge: MERGE_OUTPUT, MERGE_STEP, MERGE_TOKENS, MERGE_PROVENANCE',
        parseText,
      ),
    )
    .addOption(timeoutOption('a hook or an evaluation'))
    .optionsGroup('Members:')
    .addOption(
      listOption(
        '--window <n>',
        'checkpoints in a merge, up to the one that became complete (default: 10); given again, another merge of the same read',
        parsePositiveInteger,
      ),
    )
    .addOption(mergeOption('every'))
    .addOption(mergeOption('minInterval'))
    .addOption(mergeOption('minMembers', { help: 'no merge before the window has so many', default: 2 }))
    .addOption(mergeOption('from'))
    .addOption(mergeOption('stage'))
    .addOption(valueOption('--pin <path>', 'folder that holds on to members which the trainer deletes, by hard links', parsePath))
    .addOption(choiceOption('--accumulate <method>', 'ema: instead of windows, one float32 average of all checkpoints', ['ema']))
    .addOption(mergeOption('allowStages'))
    .addOption(mergeOption('allowConfigs'))
    .optionsGroup('Saves of the run:')
    .addOption(
      valueOption(
        '--keep-saves <n>',
        'saves that the run may have at once: keep-saves.json and keep-saves.sh say which to keep for windows of later; deletes nothing',
        wholeNumber(1, MOST.count),
      ),
    )
    .addOption(laterWindows('--keep-windows <list>', 'shares as 5%,20% (required with --keep-saves)'))
    .addOption(atLeast('--keep-at-least <n>', 'each of these'))
    .addOption(saveEvery())
    .addOption(keptSteps())
    .addOption(
      valueOption(
        '--strip-saves <path>',
        "with --keep-saves: folder of copies without the trainer's state, of saves that only windows need; strip-saves.sh puts them in place",
        parsePath,
      ),
    );
  return addWatchScoreOptions(command)
    .optionsGroup('Watching:')
    .addOption(flag('--once', 'do what there is to do now, then end: for cron'))
    .addOption(valueOption('--poll <duration>', 'time between two looks at the run: 10s, 5m (default: 30s)', parseTime))
    .addOption(valueOption('--settle <duration>', 'time that a complete checkpoint must stay the same: 0, 1m (default: 10s)', parseTime));
}

function parseKeep(text: string, option: string): number {
  return text === 'all' ? Number.POSITIVE_INFINITY : parsePositiveInteger(text, option);
}

/** A duration, or none at all. */
function parseTime(text: string, option: string): number {
  return parseNumber(text) === 0 ? 0 : duration(MOST.timer)(text, option);
}
