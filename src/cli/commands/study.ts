import type { SearchOptions } from '../../index.ts';
import type { Policy } from '../../recipe/policy/types.ts';
import type { Selection } from '../../recipe/select/types.ts';
import { splitSelection } from '../options/merge-options.ts';
import type { ServeFlags } from '../terminal/serving.ts';

/** What commands that score models have in common. */
export interface StudyFlags extends ServeFlags {
  readonly output?: string;
  readonly dir?: string;
  readonly resume?: boolean | undefined;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly debug?: boolean;
  readonly metric?: SearchOptions['metrics'];
  readonly validateMetric?: SearchOptions['validateMetrics'];
  readonly policy?: readonly Policy[];
}

/**
 * The command line as the library's options: only what was given, so that the library's defaults stay its
 * own.
 */
export function studyOptions<T>(inputs: readonly string[], flags: StudyFlags & Selection): T {
  const { json, quiet, debug, serve, serveTokenFile, metric, validateMetric, policy, ...given } = flags;
  const { select, rest } = splitSelection(given);
  return {
    ...rest,
    inputs,
    ...(select === undefined ? {} : { select }),
    ...(policy === undefined ? {} : { policies: policy }),
    ...(metric === undefined ? {} : { metrics: metric }),
    ...(validateMetric === undefined ? {} : { validateMetrics: validateMetric }),
  } as T;
}
