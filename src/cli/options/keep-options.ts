import type { Command } from 'commander';
import { MOST } from '../../base/limits.ts';
import { addOptions, addTokenOptions } from './merge-options.ts';
import { choiceOption, debug, flag, json, progress, valueOption } from './options.ts';
import { parsePath, parseText, parseWholeNumber, wholeNumber } from './values.ts';

/** How fast and with how much of the machine copies are made. */
const MACHINE = ['threads', 'memory', 'io', 'ioDepth', 'maxRead', 'cache'] as const;

/** Options that have a meaning only beside `--strip`. */
export const STRIP_NAMES = ['output', 'copies', 'dryRun', 'progress', 'followLinks', ...MACHINE] as const;

/** What is to be kept: of `keep`, and of a watch that says it at each save. */
export function addKeepOptions(command: Command): Command {
  command
    .usage('RUN --budget N --windows LIST [options]')
    .addOption(valueOption('--budget <n>', 'saves that there may be at once (required)', wholeNumber(1, MOST.count)))
    .addOption(
      valueOption(
        '--windows <list>',
        'windows to merge later, with commas: 125B,500B or 5000steps, or shares of the training as 5%,20% (required)',
        (text) => text.split(',').map((part) => part.trim()),
      ),
    )
    .addOption(
      choiceOption('--spacing <how>', 'uniform: even, for lengths; ratio: growing with the run, for shares (default: as the windows are)', [
        'uniform',
        'ratio',
      ]),
    )
    .addOption(
      valueOption(
        '--at-least <n>',
        'members that each window holds at least, at every save from now on (default: 4)',
        wholeNumber(1, MOST.count),
      ),
    )
    .addOption(valueOption('--save-every <distance>', 'distance between two saves: 25B, 1000steps (default: the smallest here)', parseText))
    .addOption(
      valueOption('--keep-steps <steps>', 'steps that are never let go, with commas', (text, where) =>
        text.split(',').map((part) => parseWholeNumber(part.trim(), where)),
      ),
    );
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
    .addOption(progress())
    .addOption(debug())
    .addHelpOption(flag('-h, --help', 'print help').helpGroup('Reporting:'));
}
