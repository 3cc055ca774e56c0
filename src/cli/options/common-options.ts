import { choiceOption, flag } from './options.ts';

const PROGRESS_MODES = ['auto', 'tty', 'lines', 'json', 'none'] as const;

/** Options that many commands have in common. */
export const json = () => flag('--json', 'print one JSON document, also for errors');
export const debug = () => flag('--debug', 'show the stack of an error');
export const progress = () => choiceOption('--progress <mode>', `on stderr: ${PROGRESS_MODES.join(', ')} (default: auto)`, PROGRESS_MODES);
