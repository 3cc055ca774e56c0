import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WatchOptions } from '../../src/index.ts';
import type { Recipe } from '../../src/recipe/types.ts';
import { type FixtureTensor, writeCheckpoint } from './checkpoints.ts';

const CHILD = fileURLToPath(new URL('./rank-child.js', import.meta.url));

/** What a rank meets (`rank-child.js`). */
export interface RankFault {
  readonly call: string;
  readonly match: string;
  readonly nth: number;
  readonly after: boolean;
  readonly how: string;
  /** Made by the first of several that meet it; the others go on. */
  readonly once?: string;
  /** Not the nth call alone: all from it on. */
  readonly always?: boolean;
}

export interface RankOptions {
  readonly rank: number;
  readonly size: number;
  readonly fault?: RankFault | undefined;
  readonly timeout?: number;
  readonly unitBytes?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly options?: Readonly<Record<string, unknown>>;
  /** What bash runs in place of `exec "$@"`. */
  readonly shell?: string;
  /** A file that it makes when it begins; one that it waits for before it computes anything. */
  readonly ready?: string;
  readonly awaits?: string;
  /** Whether names that were not there stay away for it as they do for an NFS client. */
  readonly nfs?: boolean;
}

/** A rank that runs; `ended` has what it printed, null where it was killed. */
export interface RunningRank {
  readonly child: ChildProcess;
  // biome-ignore lint/suspicious/noExplicitAny: a document that the test takes apart
  readonly ended: Promise<any>;
}

/** Bytes of a unit: the checkpoints of `rankedRun` have about a dozen of them. */
const UNIT = 65_536;
const folders: string[] = [];

export function removeRuns(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

/** What each checkpoint of `rankedRun` holds. */
export const RUN_TENSORS: readonly FixtureTensor[] = [
  { name: 'model.layers.0.mlp.up_proj.weight', dtype: 'BF16', shape: [400, 401] },
  { name: 'model.layers.0.mlp.down_proj.weight', dtype: 'F32', shape: [150, 301] },
  { name: 'model.layers.1.mlp.up_proj.weight', dtype: 'BF16', shape: [90_000] },
  { name: 'model.layers.1.mlp.down_proj.weight', dtype: 'F16', shape: [257, 255] },
];

/** A new folder with the run of three checkpoints, of several shards and dtypes. @param seed of other values */
export function rankedRun(seed = 0): { readonly folder: string; readonly out: string; readonly recipe: Recipe } {
  const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
  folders.push(folder);
  for (const step of [100, 200, 300]) {
    writeCheckpoint(join(folder, 'run', `checkpoint-${step}`), [RUN_TENSORS.slice(0, 2), RUN_TENSORS.slice(2)], step + seed);
  }
  const out = join(folder, 'out');
  return { folder, out, recipe: { inputs: [join(folder, 'run')], outputs: [{ path: out, select: { last: 3 } }] } };
}

/** Starts one rank of a merge, or of a watch with `once`. */
export function startRank(
  work: Recipe | WatchOptions,
  { rank, size, fault, timeout = 0.5, unitBytes = UNIT, env, options, shell, ready, awaits, nfs }: RankOptions,
): RunningRank {
  const given = { ranks: size === 1 ? 'auto' : `${rank}/${size}`, rankTimeout: timeout, unitBytes, threads: 1, ...options };
  const about = { options: env === undefined ? given : { ...given, ranks: 'auto' }, fault, ready, awaits, nfs };
  const words = [CHILD, JSON.stringify({ ...('run' in work ? { watched: work } : { recipe: work }), ...about })];
  const command = shell === undefined ? [process.execPath, ...words] : ['bash', '-c', shell, 'bash', process.execPath, ...words];
  const child = spawn(command[0]!, command.slice(1), { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let [stdout, stderr] = ['', ''];
  child.stdout!.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (signal !== null) resolve(null);
      else if (stdout === '') reject(new Error(`a rank ended with ${code} and said: ${stderr}`));
      else resolve(JSON.parse(stdout));
    });
  });
  return { child, ended };
}

/** Starts all ranks of a merge, some of them with faults, and waits for their ends. */
export async function allRanks(
  work: Recipe | WatchOptions,
  size: number,
  faults: Readonly<Record<number, RankFault>> = {},
  more: Partial<RankOptions> = {},
) {
  const ranks = Array.from({ length: size }, (_, rank) => startRank(work, { ...more, rank, size, fault: faults[rank] }));
  return Promise.all(ranks.map(({ ended }) => ended));
}

/** What lies hidden beside OUT. */
export function hiddenIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.startsWith('.'));
}
