import { spawnSync } from 'node:child_process';

/** The Python of tests that compare with torch and transformers: CKPT_TEST_PYTHON, or the first on PATH. */
const PYTHON = process.env.CKPT_TEST_PYTHON ?? 'python3';

/** Importing torch and transformers on a cold disk. */
const IMPORT_MS = 120_000;

/** Why there is no Python here that has these modules; null where there is. */
export function withoutPython(...modules: readonly string[]): string | null {
  const { status, stderr, error } = spawnSync(PYTHON, ['-W', 'ignore', '-c', `import ${modules.join(', ')}`], {
    encoding: 'utf8',
    timeout: IMPORT_MS,
  });
  if (status === 0) return null;
  const why = error?.message ?? stderr.trim().split('\n').at(-1);
  return `${PYTHON} has no ${modules.join(' and ')} (${why}): pip install ${modules.join(' ')}, or name another one with CKPT_TEST_PYTHON`;
}

/**
 * What Python prints for these arguments, a JSON document a line; other lines are passed over.
 * @throws Error with the end of its stderr where it fails
 */
export function linesOfPython<T>(...args: readonly string[]): T[] {
  const { status, stdout, stderr } = spawnSync(PYTHON, ['-W', 'ignore', ...args], {
    encoding: 'utf8',
    env: { ...process.env, OMP_NUM_THREADS: '1' },
  });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}: ${stderr.slice(-4000)}`);
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as T);
}
