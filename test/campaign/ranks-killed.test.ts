import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { CAMPAIGN_MS, seedOf, TIMES } from '../support/campaign.ts';
import { generator } from '../support/checkpoints.ts';
import { contentOf } from '../support/faults-merge.ts';
import { pooled } from '../support/hostile-case.ts';
import { allRanks, hiddenIn, type RankFault, rankedRun, removeRuns, startRank } from '../support/ranks.ts';

afterAll(removeRuns);

const kill = (call: string, match: string, after: boolean, nth = 1): RankFault => ({ call, match, after, nth, how: 'kill' });

/** Where a rank is killed: each phase of its life. The numbers of calls are drawn. */
const PHASES: readonly (readonly [phase: string, fault: (nth: number) => RankFault])[] = [
  ['making the board', () => kill('mkdir', 'claims|beats|partial', true)],
  ['having claimed the plan', () => kill('link', 'plan\\.0', true)],
  ['writing the plan', () => kill('rename', 'plan\\.json', false)],
  ['having written the plan', () => kill('rename', 'plan\\.json', true)],
  ['claiming', (nth) => kill('link', 'unit-', false, nth)],
  ['combining', (nth) => kill('link', 'unit-', true, nth)],
  ['between fsync and journal', (nth) => kill('appendFile', '', false, nth)],
  ['having journaled', (nth) => kill('appendFile', '', true, nth)],
  ['having claimed the end', () => kill('link', 'finish\\.', true)],
  ['finishing', () => kill('open', 'merge_provenance', true)],
  ['before it is ready', () => kill('rename', 'payload.*ready', false)],
  ['between the two names', () => kill('rename', 'payload.*ready', true)],
  ['between rename and tidying up', () => kill('unlink', 'journal|owner|beats|payload', false)],
];
const MOMENTS = 20 * TIMES;

it(
  `${MOMENTS} ranks are killed at ${PHASES.length} phases, some all together: the bytes of one process, and nothing is left`,
  async () => {
    const seed = seedOf(20_261_130);
    const random = generator(seed);
    const below = (n: number) => Math.floor((random() / 2 ** 32) * n);
    const whole = rankedRun();
    expect(await startRank(whole.recipe, { rank: 0, size: 1 }).ended).toMatchObject({ schema: 'ckpt-merge/average' });
    const wanted = contentOf(whole.out);

    const trials = Array.from({ length: MOMENTS }, (_, i) => {
      const [phase, fault] = PHASES[i % PHASES.length]!;
      return { phase, fault: fault(1 + below(3)), all: i % 4 === 3, again: 1 + below(3) };
    });
    const lines = await pooled(trials, 2, async ({ phase, fault, all, again }) => {
      const { recipe, out, folder } = rankedRun();
      // One of them: whoever comes to it first.
      const met = all ? fault : { ...fault, once: join(folder, 'struck') };
      const ended = await allRanks(recipe, 3, { 0: met, 1: met, 2: met });
      const killed = ended.filter((result) => result === null).length;
      const others = ended.filter((result) => result !== null);
      // Whoever was not killed has made it, or found it made.
      for (const result of others) expect(result, JSON.stringify([phase, result])).toMatchObject({ schema: 'ckpt-merge/average' });
      const relaunched = others.length === 0 ? await allRanks(recipe, again) : [];
      for (const result of relaunched) expect(result, JSON.stringify([phase, result])).toMatchObject({ schema: 'ckpt-merge/average' });
      expect(contentOf(out), phase).toEqual(wanted);
      const left = hiddenIn(folder);
      if (left.length > 0) await startRank(recipe, { rank: 0, size: 2 }).ended;
      expect(hiddenIn(folder), phase).toEqual([]);
      return `${phase}${all ? ', all' : ''}: ${killed} killed${relaunched.length > 0 ? `; ${again} went on` : ''}${left.length > 0 ? '; tidied up later' : ''}`;
    });
    process.stdout.write(`kill -9 of ranks with seed ${seed}:\n${lines.join('\n')}\n`);
    expect(lines.filter((line) => !line.includes(' 0 killed')).length).toBeGreaterThanOrEqual(0.7 * MOMENTS);
  },
  CAMPAIGN_MS,
);
