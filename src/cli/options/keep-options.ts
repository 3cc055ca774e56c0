import type { Command } from 'commander';
import { MOST } from '../../base/limits.ts';
import { addOptions, addTokenOptions } from './merge-options.ts';
import { choiceOption, debug, flag, json, progress, valueOption } from './options.ts';
import { atLeast, keptSteps, laterWindows, saveEvery } from './retention-options.ts';
import { parsePath, wholeNumber } from './values.ts';

/** How fast and with how much of the machine copies are made. */
const MACHINE = ['threads', 'memory', 'io', 'ioDepth', 'maxRead', 'cache'] as const;

/** Options that have a meaning only beside `--strip`. */
export const STRIP_NAMES = ['output', 'copies', 'dryRun', 'progress', 'followLinks', ...MACHINE] as const;

/** What is to be kept: of `keep`, and of a watch that says it at each save. */
export function addKeepOptions(command: Command): Command {
  command
    .usage('RUN --budget N --windows LIST [options]')
    .addOption(valueOption('--budget <n>', 'saves that there may be at once (required)', wholeNumber(1, MOST.count)))
    .addOption(laterWindows('--windows <list>', 'shares of the training as 5%,20% (required)'))
    .addOption(
      choiceOption('--spacing <how>', 'uniform: even, for lengths; ratio: growing with the run, for shares (default: as the windows are)', [
        'uniform',
        'ratio',
      ]),
    )
    .addOption(atLeast('--at-least <n>', 'each window'))
    .addOption(saveEvery())
    .addOption(keptSteps());
  addTokenOptions(command);
  command
    .optionsGroup("Copies without the trainer's state:")
    .addOption(
      flag(
        '--strip',
        'copy the model alone of each save that only windows need, check the copy, and print what would put it there; deletes nothing',
      ),
    )
    .addOption(
      valueOption('-o, --output <path>', 'with --strip: folder of the copies, on the file system of the run (required)', parsePath),
    )
    .addOption(valueOption('--copies <n>', 'with --strip: copies at most, of the oldest saves (default: all)', wholeNumber(1, MOST.count)))
    .addOption(flag('-n, --dry-run', 'with --strip: say what would be copied and freed, write nothing'));
  addOptions(command, ['followLinks', ...MACHINE]);
  return command
    .optionsGroup('Reporting:')
    .addOption(flag('--shell', 'print only the lines of a shell: what would delete the rest, with --strip what would put copies in place'))
    .addOption(json())
    .addOption(flag('-q, --quiet', 'print only the paths of the saves to keep, with --strip of the copies'))
    .addOption(progress())
    .addOption(debug())
    .addHelpOption(flag('-h, --help', 'print help').helpGroup('Reporting:'));
}
