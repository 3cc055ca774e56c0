import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sign } from '../../../src/base/board/board.ts';
import { FolderBoard } from '../../../src/base/board/folder-board.ts';
import { Presence } from '../../../src/base/board/presence.ts';
import { Sightings } from '../../../src/base/board/sightings.ts';
import { HeldFolder } from '../../../src/base/disk/held-folder.ts';
import { SYSTEM, type System } from '../../../src/base/disk/system.ts';
import { MergeError } from '../../../src/base/errors.ts';
import { temporaryFolder } from '../../support/safetensors.ts';

let path: string;
const held: HeldFolder[] = [];
beforeEach(() => {
  path = join(temporaryFolder(), 'board');
  mkdirSync(path, { mode: 0o700 });
});
afterEach(async () => {
  for (const folder of held.splice(0)) await folder.close();
});

async function join_(system: System = SYSTEM): Promise<FolderBoard> {
  const folder = await HeldFolder.open(system, path);
  held.push(folder);
  return FolderBoard.join(system, folder);
}
const withLink = (link: typeof fs.link): System => ({ ...SYSTEM, fs: { ...fs, link } });
const failing = (code: string) => async () => {
  throw Object.assign(new Error(code), { errno: code });
};
const SIGN: Sign = {
  state: 'here',
  rank: 1,
  launch: null,
  host: 'a',
  bytesRead: 5,
  bytesWritten: 2,
  seconds: 1,
  doing: { task: 'unit-3', seconds: 0.5 },
};

describe('a claim', () => {
  it.each([
    ['by hard links', SYSTEM],
    ['by folders, where there are no hard links', withLink(failing('EPERM'))],
  ] as const)('%s is one of many that try, and says whose it is', async (_, system) => {
    const boards = await Promise.all(Array.from({ length: 8 }, () => join_(system)));
    for (const name of ['unit-0.0', 'unit-1.0', 'finish.0']) {
      const got = await Promise.all(boards.map((board) => board.claim(name)));
      expect(got.filter(Boolean)).toHaveLength(1);
      const winner = boards[got.indexOf(true)]!.id;
      for (const board of boards) expect(await board.holder(name)).toBe(winner);
    }
    expect([...(await boards[0]!.claimed())].sort()).toEqual(['finish.0', 'unit-0.0', 'unit-1.0']);
  });

  it('both ways on one board keep apart, too', async () => {
    const [links, folders] = [await join_(), await join_(withLink(failing('ENOTSUP')))];
    expect([await folders.claim('a'), await links.claim('a'), await links.claim('b'), await folders.claim('b')]).toEqual([
      ...[true, false],
      ...[true, false],
    ]);
    expect([await links.holder('a'), await folders.holder('b')]).toEqual([folders.id, links.id]);
  });

  it('whose reply was lost is won all the same', async () => {
    const lost: typeof fs.link = async (from, to) => {
      await fs.link(from, to);
      throw Object.assign(new Error('EEXIST'), { errno: 'EEXIST' });
    };
    const [first, second] = [await join_(withLink(lost)), await join_()];
    expect([await first.claim('plan.0'), await second.claim('plan.0')]).toEqual([true, false]);
  });

  it('goes on where a file has as many names as it can', async () => {
    let left = 3;
    const few: typeof fs.link = async (from, to) => {
      if (left-- === 0) throw Object.assign(new Error('EMLINK'), { errno: 'EMLINK' });
      await fs.link(from, to);
    };
    const board = await join_(withLink(few));
    for (let i = 0; i < 6; i++) expect(await board.claim(`unit-${i}.0`)).toBe(true);
    expect(await board.holder('unit-5.0')).toBe(board.id);
  });

  it('that the file system refuses is no claim', async () => {
    const board = await join_(withLink(failing('ESTALE')));
    await expect(board.claim('plan.0')).rejects.toMatchObject({ details: { errno: 'ESTALE' } });
  });
});

describe('signs of life', () => {
  it('are those of the others, whole, and the last of each', async () => {
    const [one, other] = [await join_(), await join_()];
    await one.beat(SIGN);
    await one.beat({ ...SIGN, state: 'left', bytesRead: 123_456_789 });
    const signs = await other.signs();
    expect([...signs.keys()]).toEqual([one.id]);
    expect(signs.get(one.id)!.sign).toEqual({ ...SIGN, state: 'left', bytesRead: 123_456_789 });
    expect((await one.signs()).size).toBe(0);
    // Each has as many bytes as the one before: a reader never sees the end of a longer one.
    expect(readFileSync(join(path, 'beats', one.id))).toHaveLength(512);
  });

  it.each([
    ['garbage', 'x'],
    ['nothing', ''],
    ['half of one', '{"beat":1,"state":"he'],
    ['a state that there is not', JSON.stringify({ ...SIGN, state: 'gone' })],
    ['numbers that are none', JSON.stringify({ ...SIGN, bytesRead: -1 })],
  ])('that are %s say nothing, and stop nothing', async (_, text) => {
    const board = await join_();
    writeFileSync(join(path, 'beats', '0123456789ab'), text);
    expect((await board.signs()).get('0123456789ab')).toEqual({ text, sign: null });
  });

  it('are never read where somebody put a huge file', async () => {
    const board = await join_();
    writeFileSync(join(path, 'beats', '0123456789ab'), Buffer.alloc(100_000));
    expect((await board.signs()).size).toBe(0);
  });
});

it('counts the age of a sign from when it changed, by its own clock', async () => {
  let now = 0;
  let text = 'a';
  const board = { id: 'me', signs: async () => new Map([['other', { text, sign: SIGN }]]) };
  const sightings = new Sightings(board, () => now);
  await sightings.look();
  now = 100;
  await sightings.look();
  // It may have been there for a day.
  expect(sightings.of('other')).toEqual({ sign: SIGN, silentMs: 100, seenAlive: false });
  text = 'b';
  await sightings.look();
  now = 130;
  expect(sightings.of('other')).toEqual({ sign: SIGN, silentMs: 30, seenAlive: true });
  expect(sightings.of('never heard of')).toEqual({ sign: null, silentMs: 0, seenAlive: false });
  now = 200;
  expect(sightings.of('never heard of').silentMs).toBe(70);
  expect([...sightings.all().keys()]).toEqual(['other']);
});

describe('a turn', () => {
  const presenceOf = async (timeout = 60_000): Promise<Presence> => {
    const presence = new Presence(await join_(), timeout, () => SIGN);
    await presence.begin();
    return presence;
  };

  it('is of one that is at work, and of the next when that one left', async () => {
    const [one, other] = [await presenceOf(), await presenceOf()];
    expect([await one.take('plan'), await other.take('plan'), await one.take('plan')]).toEqual([true, false, true]);
    await one.end('left');
    await other.look();
    expect(await other.take('plan')).toBe(true);
    await other.end('left');
  });

  it('is shared where that is asked for, with as many as that allows', async () => {
    const all = [await presenceOf(), await presenceOf(), await presenceOf()];
    const two = (before: number) => before < 1;
    const took = [];
    for (const presence of all) took.push(await presence.take('unit-3', two));
    expect(took).toEqual([true, true, false]);
    for (const presence of all) await presence.end('left');
  });

  it('of one that is silent for too long is taken over, and that one is told', async () => {
    const [one, other] = [await presenceOf(200), await presenceOf(200)];
    expect(await one.take('unit-0')).toBe(true);
    // As if it stood still: its timer does not run.
    await one.end('left');
    const silent = new Presence(await join_(), 200, () => SIGN);
    expect(await silent.take('unit-1')).toBe(true);
    expect(await other.take('unit-1')).toBe(false);
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(await other.take('unit-1')).toBe(true);
    expect(() => silent.check()).toThrow('silent');
    await other.end('left');
  });
});

it('ends all with what one of them failed with, but those that come later to begin again', async () => {
  const of = async (launch: string | null): Promise<Presence> => {
    const presence = new Presence(await join_(), 1000, () => ({ ...SIGN, launch }));
    await presence.begin();
    return presence;
  };
  const [one, other] = [await of('srun 1.0'), await of('srun 1.0')];
  await one.end({ failed: new MergeError('E_NO_SPACE', 'no space', { details: { file: 'out' }, help: 'Free some.' }) });
  await other.look();
  expect(() => other.check()).toThrow(expect.objectContaining({ code: 'E_NO_SPACE', message: 'rank 1: no space', help: 'Free some.' }));
  const [late, again] = [await of('srun 1.0'), await of('srun 1.1')];
  await late.look();
  await again.look();
  expect(() => late.check()).toThrow('no space');
  expect(() => again.check()).not.toThrow();
  for (const presence of [other, late, again]) await presence.end('left');
});

it('says that it is there no more', async () => {
  const board = await join_();
  expect(await board.gone()).toBe(false);
  rmSync(path, { recursive: true });
  expect(await board.gone()).toBe(true);
});

it.each(['ENOENT', 'ESTALE'])('asks the server whether it is there, not a cache of names: %s', async (code) => {
  // What is removed elsewhere can still be looked up here; to open it fails.
  let isThere = true;
  const open: typeof fs.open = (file, ...how) => (isThere ? fs.open(file, ...how) : failing(code)());
  const board = await join_({ ...SYSTEM, fs: { ...fs, open } });
  expect(await board.gone()).toBe(false);
  isThere = false;
  expect(await board.gone()).toBe(true);
  expect(await board.get('plan.json')).toBeNull();
});
