import { existsSync, readdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { MergeError } from '../../../src/base/errors.ts';
import { openCheckpoint } from '../../../src/checkpoints/open.ts';
import { HOSTILE_DCP, makeHostileDcp } from '../../support/hostile-dcp.ts';

const told: string[] = [];
afterAll(() => process.stdout.write(`${[`${told.length} checkpoints of torch.distributed (code, place):`, ...told].join('\n')}\n`));

it.each(HOSTILE_DCP.map((hostile) => [hostile.place, hostile] as const))('%s: refused by code, and nothing is run', async (_, hostile) => {
  const path = makeHostileDcp(hostile);
  try {
    const before = readdirSync(path);
    const error = await openCheckpoint(path).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(MergeError);
    const { code, message } = error as MergeError;
    expect([code, message]).toEqual([hostile.code, expect.stringMatching(hostile.says)]);
    expect(message).toContain(path);
    expect(readdirSync(path)).toEqual(before);
    expect(existsSync('canary')).toBe(false);
    told.push(`${code.padEnd(16)} ${hostile.place}`);
  } finally {
    rmSync(dirname(path), { recursive: true });
  }
});

it('each of them is another place', () => {
  const places = HOSTILE_DCP.map(({ code, place }) => `${code} ${place}`);
  expect(new Set(places).size).toBe(places.length);
});
