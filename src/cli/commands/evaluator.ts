import { MergeError } from '../../base/errors.ts';

/** Options that say how the command of `--eval` is run, and how its score is read. */
const OF_EVALUATOR = {
  metric: '--metric',
  metricFile: '--metric-file',
  metricRegex: '--metric-regex',
  timeout: '--timeout',
  evalSetup: '--eval-setup',
  evalCancel: '--eval-cancel',
  evalServer: '--eval-server',
  gpus: '--gpus',
  parallel: '--parallel',
} as const;

/**
 * Refuses options that nothing would heed, where no command scores models.
 * @param others of them, by what the command line calls them @throws MergeError E_USAGE
 */
export function requireNoEvaluation(flags: Readonly<Record<string, unknown>>, others: Readonly<Record<string, string>> = {}): void {
  if (flags.eval !== undefined) return;
  const given = Object.entries({ ...OF_EVALUATOR, ...others }).flatMap(([name, option]) => (flags[name] === undefined ? [] : [option]));
  if (given.length === 0) return;
  throw new MergeError('E_USAGE', `${given.join(', ')} ${given.length === 1 ? 'is' : 'are'} about an evaluator, and none is given`, {
    help: `Name the command that scores a model with --eval, or leave ${given.length === 1 ? 'it' : 'them'} out.`,
  });
}

/** @throws MergeError E_USAGE where nothing scores models */
export function requireEvaluator(options: { readonly eval?: unknown }): void {
  if (options.eval !== undefined) return;
  throw new MergeError('E_USAGE', 'no evaluator is given', {
    help: `Name a command that scores a model, as --eval 'python eval.py "$MERGE_MODEL"'.`,
  });
}
