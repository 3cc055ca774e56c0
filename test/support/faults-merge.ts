import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { type FixtureTensor, writeCheckpoint } from './checkpoints.ts';
import { BIN, type CliResult } from './run-cli.ts';

const SLOW = new URL('./faults-slow.js', import.meta.url).href;
export const SHARDS = 6;
const SIGNAL_NUMBERS: Readonly<Record<string, number>> = { SIGHUP: 1, SIGINT: 2, SIGBUS: 7, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };

const folders: string[] = [];

/**
 * Removes the folders that {@link checkpoints} made. (Tests that run at the same time cannot each clean up
 * after themselves.)
 */
export function removeCheckpoints(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/**
 * A new folder with two checkpoints of {@link SHARDS} shards, one native call and one resumable unit each.
 */
export function checkpoints(): { readonly folder: string; readonly inputs: readonly string[]; readonly out: string } {
  const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
  folders.push(folder);
  const shard = (i: number): FixtureTensor[] => [
    { name: `layers.${i}.weight`, dtype: 'BF16', shape: [128, 300] },
    { name: `layers.${i}.bias`, dtype: 'F32', shape: [301] },
  ];
  const shards = Array.from({ length: SHARDS }, (_, i) => shard(i));
  const inputs = ['checkpoint-1', 'checkpoint-2'].map((name, i) => writeCheckpoint(join(folder, name), shards, i + 1));
  return { folder, inputs, out: join(folder, 'out') };
}

/** A CLI that runs. */
export interface Running {
  readonly child: ChildProcess;
  /** Resolves when stdout and stderr together hold the text; fails when the process ends without it. */
  says(text: string): Promise<void>;
  readonly ended: Promise<CliResult>;
}

/** How `faults-slow.js` slows a merge down. Calls are counted from 1. */
export interface Slow {
  /** Milliseconds before each native call. */
  readonly callMs?: number;
  /**
   * A call that waits until a path exists, or until the merge is cancelled; `stuck` notices no cancellation.
   */
  readonly hold?: { readonly call: number; readonly until?: string; readonly stuck?: boolean };
  /** The system has no links to descriptors, as macOS. */
  readonly withoutProc?: boolean;
  /**
   * SIGKILL so many milliseconds after a call was announced, or just before or after an output (counted from
   * 1) is renamed into its place: from inside, so that the moment does not depend on how busy the machine is.
   */
  readonly kill?: { readonly call: number; readonly ms: number } | { readonly beforeRename: number } | { readonly afterRename: number };
}

/** Starts the CLI, or another script, slowed down where `slow` is given. */
export function start(args: readonly string[], slow?: Slow, script = BIN): Running {
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', CKPT_TEST_SLOW: JSON.stringify(slow ?? {}) };
  for (const name of ['FORCE_COLOR', 'NODE_OPTIONS', 'npm_command', 'CKPT_MERGE_ISA']) delete env[name];
  const words = [...(slow === undefined ? [] : ['--import', SLOW]), script, ...args];
  const child = spawn(process.execPath, words, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  let over = false;
  const waiting: { readonly text: string; resolve(): void; reject(error: Error): void }[] = [];
  const look = () => {
    for (const wait of waiting) {
      if ((output.stdout + output.stderr).includes(wait.text)) wait.resolve();
      else if (over) wait.reject(new Error(`the CLI ended without saying ${wait.text}:\n${output.stderr}`));
    }
  };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk;
      look();
    });
  }
  const ended = new Promise<CliResult>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      over = true;
      look();
      resolve({ code: code ?? 128 + (SIGNAL_NUMBERS[signal!] ?? 0), signal, ...output });
    });
  });
  const says = (text: string) =>
    new Promise<void>((resolve, reject) => {
      waiting.push({ text, resolve, reject });
      look();
    });
  return { child, says, ended };
}

/** Runs the CLI to its end. */
export function run(...args: readonly string[]): Promise<CliResult> {
  return start(args).ended;
}

/** Names of hidden things beside a path: unfinished merges. */
export function hiddenBeside(path: string): string[] {
  return readdirSync(dirname(path)).filter((name) => name.startsWith(`.${basename(path)}`));
}

/**
 * Everything that a published folder holds, but for the times it took, the warnings on the way, and what names
 * the folder: card, recipe, and the digest of what was asked for.
 */
export function contentOf(out: string): Record<string, string> {
  const names = existsSync(out) ? readdirSync(out).sort() : [];
  return Object.fromEntries(
    names
      .filter((name) => name !== 'README.md' && name !== 'merge_recipe.yaml')
      .map((name) => {
        const bytes = readFileSync(join(out, name));
        if (name !== 'merge_provenance.json') return [name, bytes.toString('base64')];
        const { timings, warnings, request, ...rest } = JSON.parse(bytes.toString());
        return [name, JSON.stringify(rest)];
      }),
  );
}
