import { chmodSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { published } from '../support/multi-output.ts';
import { RUN_TENSORS } from '../support/ranks.ts';
import { runCli } from '../support/run-cli.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
  for (let i = 1; i <= 6; i++) writeCheckpoint(at('run', `checkpoint-${i * 1000}`), [RUN_TENSORS.slice(0, 2), RUN_TENSORS.slice(2)], i);
});
afterEach(() => folder.remove());
const at = (...parts: string[]) => join(folder.path, ...parts);
const merge = (args: readonly string[], env: Record<string, string> = {}) => runCli(args, { cwd: folder.path, env });

/** Seven merges, three a read: what little memory holds tiles of. */
const GRID = 'grid run --windows 2ckpt,3ckpt,4ckpt --endpoints every:2000 --method wma --threads 1 --memory 400KiB'.split(' ');

/** What a merge published, without what says that several processes made it. */
function made(name: string): object {
  const { 'merge_provenance.json': record, ...files } = published(at(name));
  const { request, ...rest } = JSON.parse(record!);
  return { ...files, record: rest };
}

async function expectAlone(where: string): Promise<void> {
  expect((await merge([...GRID, '-o', 'alone', '-q'])).code).toBe(0);
  const names = readdirSync(at('alone'));
  expect(names.length).toBe(7);
  expect(readdirSync(at(where))).toEqual(names);
  for (const name of names) expect(made(`${where}/${name}`), name).toEqual(made(`alone/${name}`));
}

describe('ranks of a grid', () => {
  it('make read after read together, with the bytes of one process', async () => {
    const ranks = await Promise.all(
      [0, 1].map((rank) => merge([...GRID, '-o', 'grid', '--json', '--ranks', `${rank}/2`, '--rank-timeout', '5s'])),
    );
    expect(ranks.map(({ code, stderr }) => (code === 0 ? 0 : stderr))).toEqual([0, 0]);
    // The first alone tells what was made.
    expect(ranks[1]!.stdout).toBe('');
    const document = JSON.parse(ranks[0]!.stdout);
    expect(document).toMatchObject({ schema: 'ckpt-merge/grid', batches: [] });
    expect(document.outputs.map(({ skipped }: { skipped?: true }) => skipped ?? false)).toEqual(Array(7).fill(false));
    await expectAlone('grid');
    const again = await merge([...GRID, '-o', 'grid', '--json']);
    expect(JSON.parse(again.stdout)).toMatchObject({ batches: [], bytesRead: 0 });
  });

  it('may be started by the command itself', async () => {
    const path = at('launch');
    writeFileSync(path, '#!/bin/bash\nfor rank in 0 1; do MERGE_RANK=$rank MERGE_WORLD_SIZE=2 "$@" & done\nwait\n');
    chmodSync(path, 0o755);
    const { code, stdout, stderr } = await merge([...GRID, '-o', 'grid', '--launcher', path, '--rank-timeout', '5s']);
    expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^made 7 outputs in grid\n/);
    await expectAlone('grid');
  });
});
