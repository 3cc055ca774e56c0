import { cpSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Evaluated } from '../../src/search/evaluate/results/read.ts';
import { folderOf } from './safetensors.ts';

const GOLDEN = join(import.meta.dirname, '../golden/results');

/** What an evaluation left behind: files in its folder of results, a result file, what it printed. */
export function evaluated(
  files: Readonly<Record<string, string>>,
  { result, stdout = '', stderr = '' }: { result?: string; stdout?: string; stderr?: string } = {},
): Evaluated {
  const folder = folderOf({ ...prefixed(files), 'out/.keep': '', ...(result === undefined ? {} : { result }) });
  return { out: join(folder, 'out'), resultFile: join(folder, 'result'), stdout, stderr, since: 0 };
}

/**
 * What a harness left behind: a folder of test/golden/results, less the files whose names begin with one of
 * `without`.
 */
export function harnessRun(golden: string, without: readonly string[] = []): Evaluated {
  const found = evaluated({});
  cpSync(join(GOLDEN, golden), found.out, { recursive: true });
  for (const path of filesUnder(found.out)) if (without.some((start) => path.split('/').at(-1)!.startsWith(start))) rmSync(path);
  return found;
}

export function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

function prefixed(files: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [`out/${name}`, text]));
}
