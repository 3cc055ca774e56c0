import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';
import { systemTool } from './system-tool.ts';

/** A safetensors file from the text of its header: nothing here knows the code under test. */
export function fileBytes(header: string | Uint8Array, data: number | Uint8Array = 0): Uint8Array {
  const json = Buffer.from(header);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, typeof data === 'number' ? Buffer.alloc(data) : data]);
}

/** One entry of a header, as text. */
export function entry(name: string, dtype: string, shape: readonly number[], begin: number, end: number): string {
  return `${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape}],"data_offsets":[${begin},${end}]}`;
}

/** A small valid file that holds the tensors named, one F32 each. */
export function smallFile(...names: readonly string[]): Uint8Array {
  return fileBytes(`{${names.map((name, i) => entry(name, 'F32', [1], 4 * i, 4 * i + 4)).join()}}`, 4 * names.length);
}

/** Text of an index. */
export function indexText(weightMap: Readonly<Record<string, string>>, metadata: unknown = { total_size: 8 }): string {
  return JSON.stringify({ metadata, weight_map: weightMap });
}

/** A folder of the test, removed at its end. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes files into a new folder; names may have folders in them. */
export function folderOf(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  return folder;
}

export function makeFifo(path: string): void {
  execFileSync(systemTool('mkfifo'), [path]);
}

/** The MergeError that a call ends with; anything else fails the test. */
export async function mergeError(call: () => unknown): Promise<MergeError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof MergeError) return error;
    throw error;
  }
  throw new Error('the call did not fail');
}

/** Seeded random numbers (mulberry32): integers below `n`. */
export function seeded(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * n);
  };
}
