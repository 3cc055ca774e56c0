import { basename, dirname, parse } from 'node:path';
import type { Run, RunCheckpoint } from '../../checkpoints/run/types.ts';

/** The folder or file that a checkpoint is called after, which the model may lie deeper in; its own where there is none. */
export function wholeOf(run: Run, { path, name }: RunCheckpoint): string {
  for (let at = path; at !== run.path && at.length > run.path.length; at = dirname(at)) {
    if (basename(at) === name || parse(at).name === name) return at;
  }
  return path;
}
