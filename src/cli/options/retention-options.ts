import type { Option } from 'commander';
import { MOST } from '../../base/limits.ts';
import { valueOption } from './options.ts';
import { parseText, parseWholeNumber, wholeNumber } from './values.ts';

// Which saves a run keeps, of `keep` and of a watch: where both have an option of one meaning it is here.

/** @param more the end of its help: how shares are written, and when it is required */
export function laterWindows(flags: string, more: string): Option {
  return valueOption(flags, `windows to merge later, with commas: 125B,500B or 5000steps, or ${more}`, (text) =>
    text.split(',').map((part) => part.trim()),
  );
}

/** @param whose of the windows, in its help */
export function atLeast(flags: string, whose: string): Option {
  const help = `members that ${whose} holds at least, at every save from now on (default: 4)`;
  return valueOption(flags, help, wholeNumber(1, MOST.count));
}

export function saveEvery(): Option {
  return valueOption('--save-every <distance>', 'distance between two saves: 25B, 1000steps (default: the smallest here)', parseText);
}

export function keptSteps(): Option {
  return valueOption('--keep-steps <steps>', 'steps that are never let go, with commas', (text, where) =>
    text.split(',').map((part) => parseWholeNumber(part.trim(), where)),
  );
}
