import { systemLines } from '../../base/machine/cgroup.ts';
import { softLimit } from '../../base/machine/limits.ts';
import { worded } from '../../base/option-words.ts';
import { type Check, ok, warn } from './check.ts';

/** Descriptors a merge of many sharded checkpoints may want in mode `read`. */
const ENOUGH_FILES = 1024;

/**
 * Limits of this process that a merge can run into (`ulimit`). On Linux; elsewhere the system does not say
 * without a child process.
 */
export function checkLimits(lines: readonly string[] = systemLines('/proc/self/limits')): Check[] {
  const files = softLimit('Max open files', lines);
  const space = softLimit('Max address space', lines);
  const size = softLimit('Max file size', lines);
  const checks: Check[] = [];
  if (files !== undefined) {
    checks.push(
      files >= ENOUGH_FILES
        ? ok('open files', limitText(files))
        : warn(
            'open files',
            `${files} at most`,
            worded`Raise it with \`ulimit -n 4096\` when a merge of many shards fails; --io map keeps no file open.`,
          ),
    );
  }
  if (space !== undefined) {
    checks.push(
      space === Number.POSITIVE_INFINITY
        ? ok('address space', limitText(space))
        : warn('address space', `${space} bytes at most`, 'Inputs that cannot be mapped are read instead. `ulimit -v unlimited` lifts it.'),
    );
  }
  if (size !== undefined) {
    checks.push(
      size === Number.POSITIVE_INFINITY
        ? ok('file size', limitText(size))
        : warn('file size', `${size} bytes at most`, 'A larger output file fails with exit code 6. `ulimit -f unlimited` lifts it.'),
    );
  }
  return checks;
}

function limitText(limit: number): string {
  return limit === Number.POSITIVE_INFINITY ? 'unlimited' : `${limit} at most`;
}
