import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { watch } from '../../src/upkeep/watch/watch.ts';
import { temporaryFolder } from '../support/checkpoints.ts';
import { linesOfPython, withoutPython } from '../support/python.ts';

/** Training by torch on two gloo ranks goes on from what a watch made of its checkpoints, of each kind. */
const SCRIPT = join(import.meta.dirname, '../golden/make/resumed.py');
const reason = withoutPython('torch');
if (reason !== null) console.log(`no training goes on from a merge: ${reason}`);

const temporary = temporaryFolder();
afterAll(temporary.remove);
const onTwoRanks = <T>(...args: readonly string[]): T[] =>
  linesOfPython<T>('-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', SCRIPT, ...args);

interface WentOn {
  readonly step: number;
  readonly 'steps of the optimizer': readonly number[];
  readonly 'weights off by': number;
  readonly 'moments off the mean by': number;
  readonly 'moments off the newest by': number;
  readonly 'largest moment': number;
  readonly other: readonly string[];
  readonly losses: readonly number[];
}

const PROMISED = {
  newest: { 'steps of the optimizer': [100], 'moments off the newest by': 0 },
  average: { 'steps of the optimizer': [100], 'moments off the mean by': 0 },
  drop: { 'steps of the optimizer': [0], 'largest moment': 0 },
} as const;

it('torch.distributed.checkpoint goes on from what a watch makes while it trains', { timeout: 600_000 }, async (context) => {
  context.skip(reason !== null, reason ?? '');
  const run = join(temporary.path, 'run');
  const folderOf = (optimizer: string): string => join(temporary.path, optimizer);
  const look = async (): Promise<void> => {
    for (const optimizer of ['newest', 'average', 'drop'] as const)
      await watch({ run, output: folderOf(optimizer), for: 'resume', optimizer, select: { last: 3 }, once: true, settle: 0 });
  };
  onTwoRanks('train', run, '60,80');
  await look();
  onTwoRanks('train', run, '100', '--load', join(run, '80'));
  await look();
  const members = ['60', '80', '100'].map((step) => join(run, step)).join();
  for (const [optimizer, promised] of Object.entries(PROMISED)) {
    const [found] = onTwoRanks<WentOn>('go-on', join(folderOf(optimizer), 'merged-100'), members);
    // What was loaded is what torch saves again, name by name and bit for bit.
    expect(found, optimizer).toMatchObject({ step: 100, 'weights off by': 0, other: [], ...promised });
    // Guessing among 29 tokens costs ln 29 = 3.4.
    for (const loss of found!.losses) expect(loss, optimizer).toBeLessThan(2);
  }
});
