import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const BIN = fileURLToPath(new URL('../../bin/merge.js', import.meta.url));

export interface RunOptions {
  readonly cwd?: string;
  /** Added to the environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Written to stdin, which is then closed. */
  readonly input?: string;
  /**
   * Sends signals, in order: each once the output so far (stdout and stderr together) matches its pattern.
   */
  readonly signalAfter?: readonly { readonly pattern: RegExp; readonly signal: NodeJS.Signals }[];
  /** Another script to run with Node instead of the bin. */
  readonly script?: string;
}

export interface CliResult {
  /** Exit code; as a shell shows it (128 + number) where a signal ended the process. */
  readonly code: number;
  /** The signal that ended the process by its default action, else null. */
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGKILL: 9, SIGTERM: 15 };

/** The environment of this process without what changes how a CLI prints. */
function plainEnvironment(): NodeJS.ProcessEnv {
  const env = { ...process.env };
  for (const name of ['NO_COLOR', 'FORCE_COLOR', 'CI', 'npm_command', 'CKPT_MERGE_ISA', 'SLURM_CPUS_PER_TASK', 'NODE_OPTIONS'])
    delete env[name];
  return env;
}

/** Runs the bin on the built dist/ and waits for its end. Streams are pipes, never a terminal. */
export function runCli(args: readonly string[], options: RunOptions = {}): Promise<CliResult> {
  const env = { ...plainEnvironment(), ...options.env };
  for (const [name, value] of Object.entries(env)) if (value === undefined) delete env[name];
  const child = spawn(process.execPath, [options.script ?? BIN, ...args], { cwd: options.cwd, env });
  const chunks = { stdout: '', stderr: '' };
  const pending = [...(options.signalAfter ?? [])];
  const collect = (name: 'stdout' | 'stderr') => (chunk: string) => {
    chunks[name] += chunk;
    while (pending[0]?.pattern.test(chunks.stdout + chunks.stderr)) child.kill(pending.shift()!.signal);
  };
  child.stdout.setEncoding('utf8').on('data', collect('stdout'));
  child.stderr.setEncoding('utf8').on('data', collect('stderr'));
  // A program that ends without reading its input is no failure of the test.
  child.stdin.on('error', () => {}).end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code: code ?? 128 + (SIGNAL_NUMBERS[signal!] ?? 0), signal, ...chunks }));
  });
}
