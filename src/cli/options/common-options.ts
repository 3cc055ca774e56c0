import { choiceOption, flag, valueOption } from './options.ts';
import { parseBytes, parsePositiveInteger } from './values.ts';

const PROGRESS_MODES = ['auto', 'tty', 'lines', 'json', 'none'] as const;

/** Options that many commands have in common. */
export const json = () => flag('--json', 'print one JSON document, also for errors');
export const debug = () => flag('--debug', 'show the stack of an error');
export const threads = () =>
  valueOption('-t, --threads <n>', 'compute threads (default: CPUs allowed by affinity, cgroup and Slurm)', parsePositiveInteger);
export const io = () =>
  choiceOption('--io <mode>', 'how inputs are read: map, read (default: auto, by file system)', ['auto', 'map', 'read']);
export const cache = () =>
  choiceOption('--cache <mode>', 'page cache behind the work: keep, drop (default: auto, by memory)', ['auto', 'keep', 'drop']);
export const progress = () => choiceOption('--progress <mode>', `on stderr: ${PROGRESS_MODES.join(', ')} (default: auto)`, PROGRESS_MODES);
export const memory = () =>
  valueOption('--memory <size>', 'bound of buffers: bytes, 256M (10^6), 256MiB (2^20) (default: 256MiB)', parseBytes);
