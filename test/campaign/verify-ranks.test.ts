import { copyFileSync, cpSync, openSync, readdirSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { hiddenIn, rankedRun, removeRuns } from '../support/ranks.ts';
import { runCli } from '../support/run-cli.ts';

afterAll(removeRuns);

const SIZE = 3;

/** All ranks of a verification; the words go on with what is to be verified. */
function verifyTogether(cwd: string, ...words: readonly string[]) {
  return Promise.all(
    Array.from({ length: SIZE }, (_, rank) =>
      runCli(['verify', '--full', '--json', '--rank-timeout', '0.5', ...words], {
        cwd,
        env: { MERGE_RANK: `${rank}`, MERGE_WORLD_SIZE: `${SIZE}`, MERGE_LAUNCH: 'one' },
      }),
    ),
  );
}

async function merged(): Promise<string> {
  const { folder } = rankedRun();
  expect((await runCli(['average', 'run', '-o', 'out'], { cwd: folder })).code).toBe(0);
  return folder;
}

it(
  'ranks verify all of it together, and one of them says so',
  async () => {
    const cwd = await merged();
    const alone = JSON.parse((await runCli(['verify', 'out', '--full', '--json'], { cwd })).stdout);
    const ended = await verifyTogether(cwd, 'out');
    expect(ended.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(JSON.parse(ended.map(({ stdout }) => stdout).join(''))).toEqual(alone);
    expect(ended.slice(1).map(({ stderr }) => stderr)).toEqual(['', '']);
    expect(hiddenIn(cwd)).toEqual([]);
  },
  CAMPAIGN_MS,
);

it.each(['an element', 'a checksum'] as const)(
  'all ranks end with 5 where one of them finds that %s is not what it should be, and it is said once',
  async (what) => {
    const cwd = await merged();
    cpSync(join(cwd, 'out'), join(cwd, 'other'), { recursive: true });
    const shard = readdirSync(join(cwd, 'other')).find((name) => name.endsWith('.safetensors'))!;
    const file = join(cwd, 'other', shard);
    if (what === 'a checksum') {
      writeSync(openSync(file, 'r+'), Buffer.from([1]), 0, 1, statSync(file).size - 1);
    } else {
      // The checksums are right, and the inputs are those of another run.
      const inputs = readdirSync(join(cwd, 'run', 'checkpoint-100')).filter((name) => name.endsWith('.safetensors'));
      for (const name of inputs) copyFileSync(join(cwd, 'run', 'checkpoint-200', name), join(cwd, 'run', 'checkpoint-100', name));
    }
    const ended = await verifyTogether(cwd, 'other');
    const codes = [...new Set(ended.map(({ code }) => code))];
    expect(codes).toEqual([what === 'a checksum' ? 5 : 3]);
    expect(JSON.parse(ended[0]!.stdout)).toMatchObject({ code: what === 'a checksum' ? 'E_VERIFY' : 'E_SOURCE_CHANGED' });
    expect(ended.slice(1).map(({ stdout }) => stdout)).toEqual(['', '']);
    expect(hiddenIn(cwd)).toEqual([]);
  },
  CAMPAIGN_MS,
);
