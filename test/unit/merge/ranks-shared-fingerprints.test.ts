import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FolderBoard } from '../../../src/base/board/folder-board.ts';
import { Presence } from '../../../src/base/board/presence.ts';
import { HeldFolder } from '../../../src/base/disk/held-folder.ts';
import { SYSTEM } from '../../../src/base/disk/system.ts';
import { fingerprint } from '../../../src/checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { sharedFingerprints } from '../../../src/merge/ranks/shared-fingerprints.ts';
import { entry, fileBytes, temporaryFolder } from '../../support/safetensors.ts';

const HEADER = `{${entry('w', 'U8', [3], 0, 3)}}`;

it('fingerprints of a start are made once by all ranks together, and not taken from an earlier one', async () => {
  const folder = temporaryFolder();
  const paths = ['a', 'b', 'c', 'd', 'e'].map((name, i) => {
    const path = join(folder, name);
    mkdirSync(path);
    writeFileSync(join(path, 'model.safetensors'), fileBytes(HEADER, Buffer.from([i, 1, 2])));
    return path;
  });
  const board = join(folder, 'board');
  mkdirSync(board, { mode: 0o700 });
  const held: HeldFolder[] = [];
  /** What the ranks of a start find, and how many of the lines on the board are theirs. */
  const start = async (launch: string, size: number) => {
    const ranks = await Promise.all(
      Array.from({ length: size }, async (_, rank) => {
        const at = await HeldFolder.open(SYSTEM, board);
        held.push(at);
        const sign = { rank, launch, host: 'a', bytesRead: 0, bytesWritten: 0, seconds: 0 };
        const presence = new Presence(await FolderBoard.join(SYSTEM, at), 20_000, () => sign);
        await presence.begin();
        return presence;
      }),
    );
    const checkpoints = await Promise.all(paths.map((path) => openCheckpoint(path)));
    const found = await Promise.all(
      ranks.map((presence, rank) => sharedFingerprints(checkpoints, presence, { rank, size, launch, signal: undefined })),
    );
    const lines = await ranks[0]!.board.lines();
    const own = ranks.flatMap((presence) => [...(lines.get(presence.board.id) ?? [])]);
    for (const presence of ranks) await presence.end('left');
    const wanted = [];
    for (const checkpoint of checkpoints) wanted.push(await fingerprint(checkpoint));
    return { found, wanted, lines: own.length };
  };
  try {
    const first = await start('one', 3);
    for (const found of first.found) expect(found).toEqual(first.wanted);
    expect(first.lines).toBe(paths.length);
    writeFileSync(join(paths[2]!, 'model.safetensors'), fileBytes(HEADER, Buffer.from([9, 9, 9])));
    const second = await start('two', 2);
    expect(second.wanted[2]).not.toBe(first.wanted[2]);
    for (const found of second.found) expect(found).toEqual(second.wanted);
    expect(second.lines).toBe(paths.length);
  } finally {
    for (const at of held) await at.close();
  }
});
