import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { TORCH_VERSIONS, unpackGolden } from '../support/containers.ts';
import { differenceFromTorch, MANY_CASES, TORCH_CASES, type TorchCase } from '../support/torch-out.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

const homes = new Map(TORCH_VERSIONS.map((version) => [version, unpackGolden(`torch-out-${version}`, folder)]));
const all = TORCH_VERSIONS.flatMap((version) =>
  [...TORCH_CASES, ...(version === '2.15' ? MANY_CASES : [])].map((one) => [version, one[1], one] as const),
);

it.each<readonly [version: (typeof TORCH_VERSIONS)[number], want: string, one: TorchCase]>(all)(
  'torch %s: %s is what that torch saves for the merged values',
  async (version, want, one) => {
    expect(await differenceFromTorch(homes.get(version)!, one, join(folder, `out-${version}`, `${want}.pt`))).toBe('none');
  },
  60_000,
);
