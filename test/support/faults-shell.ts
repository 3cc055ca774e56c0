import { spawn, spawnSync } from 'node:child_process';
import { BIN, type CliResult } from './run-cli.ts';

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

/**
 * Runs a line of bash in which `"$@"` is the CLI with its arguments, so that limits, masks, pipes and mounts
 * can be put around it: `ulimit -n 256; exec "$@"`.
 */
export function runShell(
  line: string,
  args: readonly string[],
  options: { readonly cwd?: string; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<CliResult> {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', ...options.env };
  for (const name of ['FORCE_COLOR', 'NODE_OPTIONS', 'npm_command']) delete env[name];
  if (options.env?.CKPT_MERGE_ISA === undefined) delete env.CKPT_MERGE_ISA;
  const child = spawn('bash', ['-c', line, 'bash', process.execPath, BIN, ...args], {
    cwd: options.cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk;
    });
  }
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? 128 + (SIGNAL_NUMBERS[signal!] ?? 0), signal, ...output }));
  });
}

/** Ways to a mount namespace of one's own: as root, and as anybody where user namespaces are allowed. */
const tries = [['-m'], ['-r', '-m']].map((options) => {
  const mount = 'd=$(mktemp -d) && mount -t tmpfs none "$d"; r=$?; umount "$d"; rmdir "$d"; exit $r';
  const { error, status, stderr } = spawnSync('unshare', [...options, 'bash', '-c', mount], { encoding: 'utf8' });
  return { options, problem: status === 0 ? null : (error?.message ?? stderr.trim().split('\n')[0] ?? 'refused') };
});
const way = tries.find(({ problem }) => problem === null);

/**
 * Null where this process may mount in a namespace of its own; else the reason why not, for a skipped test to
 * print.
 */
export const NO_MOUNTS: string | null = way === undefined ? `no mounts of its own for this process: ${tries[0]!.problem}` : null;

/**
 * `line` inside a mount namespace of its own: nothing that it mounts is seen outside, and all of it goes when
 * it ends.
 */
export function inOwnMounts(line: string): string {
  return `exec unshare ${(way?.options ?? []).join(' ')} bash -c '${line.replaceAll("'", `'\\''`)}' bash "$@"`;
}
