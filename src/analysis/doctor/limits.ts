import { systemLines } from '../../base/machine/cgroup.ts';
import { worded } from '../../base/option-words.ts';
import { type Check, ok, warn } from './check.ts';

/** Descriptors a merge of many sharded checkpoints may want in mode `read`. */
const ENOUGH_FILES = 1024;

/**
 * Limits of this process that a merge can run into (`ulimit`). On Linux; elsewhere the system does not say
 * without a child process.
 */
export function checkLimits(lines: readonly string[] = systemLines('/proc/self/limits')): Check[] {
  const files = softLimit(lines, 'Max open files');
  const space = softLimit(lines, 'Max address space');
  const size = softLimit(lines, 'Max file size');
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

/** The soft limit of a row of /proc/self/limits; undefined where it has none. */
function softLimit(lines: readonly string[], name: string): number | undefined {
  const line = lines.find((l) => l.startsWith(name));
  const [soft] = line?.slice(name.length).trim().split(/\s+/) ?? [];
  if (soft === undefined) return undefined;
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

function limitText(limit: number): string {
  return limit === Number.POSITIVE_INFINITY ? 'unlimited' : `${limit} at most`;
}
