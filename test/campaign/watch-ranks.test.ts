import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import type { WatchOptions } from '../../src/index.ts';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { writeCheckpoint } from '../support/checkpoints.ts';
import { allRanks, hiddenIn, type RankFault, RUN_TENSORS, rankedRun, removeRuns, startRank } from '../support/ranks.ts';
import { runCli } from '../support/run-cli.ts';
import { historyOf, mergesIn } from '../support/watching.ts';

afterAll(removeRuns);

interface Watched {
  readonly folder: string;
  readonly options: WatchOptions;
}

function watched(more: Partial<WatchOptions> = {}): Watched {
  const { folder } = rankedRun();
  return { folder, options: { run: join(folder, 'run'), output: join(folder, 'merges'), settle: 0.05, poll: 0.02, ...more } };
}

/** A checkpoint that becomes complete. */
function save({ folder }: Watched, step: number): void {
  writeCheckpoint(join(folder, 'run', `checkpoint-${step}`), [RUN_TENSORS.slice(0, 2), RUN_TENSORS.slice(2)], step);
}

/** Files of tensors of all merges, by their paths. */
function tensors({ options: { output } }: Watched): Record<string, string> {
  const names = mergesIn(output).flatMap((merge) => readdirSync(join(output, merge)).map((name) => join(merge, name)));
  return Object.fromEntries(
    names.filter((name) => name.endsWith('.safetensors')).map((name) => [name, readFileSync(join(output, name), 'base64')]),
  );
}

/** The same by one process, in another folder. */
async function alone(of: Watched, steps: readonly (readonly number[])[]): Promise<Record<string, string>> {
  const other = { ...of, options: { ...of.options, output: join(of.folder, 'alone') } };
  for (const saved of steps) {
    for (const step of saved) save(of, step);
    expect(await startRank(other.options, { rank: 0, size: 1 }).ended).toMatchObject({ failed: [] });
  }
  const made = tensors(other);
  rmSync(other.options.output, { recursive: true });
  return made;
}

/** What one process makes of the run as it is at first. */
let made300: Promise<Record<string, string>> | null = null;
function newest(): Promise<Record<string, string>> {
  made300 ??= alone(watched(), [[]]);
  return made300;
}

const settings = { timeout: 20 };
const inWatch = (output: string) => readdirSync(join(output, '.merge-watch')).filter((name) => !/^(owner|heartbeat|state)/.test(name));

describe('a watch with once, by several ranks', () => {
  it.each([
    ['windows', 1, {}],
    ['windows', 2, {}],
    ['windows', 3, {}],
    ['an accumulator', 2, { accumulate: 'ema' }],
  ] as readonly (readonly [string, number, Partial<WatchOptions>])[])(
    '%s by %i: what is due is made once, as by one process',
    { timeout: CAMPAIGN_MS },
    async (_, size, more) => {
      const of = watched({ ...more, keep: 9 });
      const { output } = of.options;
      const first = await allRanks(of.options, size, {}, settings);
      for (const result of first) expect(result).toMatchObject({ schema: 'ckpt-merge/watch', failed: [], looked: { checkpoints: 3 } });
      save(of, 400);
      save(of, 500);
      const second = await allRanks(of.options, size, {}, settings);
      for (const { merges } of second) {
        expect(merges).toMatchObject([{ output: 'merged-checkpoint-400' }, { output: 'merged-checkpoint-500' }]);
        expect(merges).toEqual(second[0].merges);
      }
      const third = await allRanks(of.options, size, {}, settings);
      for (const { merges, said } of third) expect({ merges, said: said.includes('idle') }).toEqual({ merges: [], said: true });
      expect(historyOf(output).map(({ checkpoint }) => checkpoint)).toEqual([
        ...(more.accumulate === undefined ? [] : ['checkpoint-100', 'checkpoint-200']),
        ...['checkpoint-300', 'checkpoint-400', 'checkpoint-500'],
      ]);
      expect(inWatch(output)).toEqual([]);
      expect(hiddenIn(output)).toEqual(['.merge-watch']);
      const made = tensors(of);
      const other = watched({ ...more, keep: 9 });
      expect(made).toEqual(await alone(other, [[], [400, 500]]));
    },
  );

  it('has all of them work at one merge', { timeout: CAMPAIGN_MS }, async () => {
    const of = watched();
    // Each is slow at its units, so that one of them cannot be done before the other has begun.
    const results = await allRanks(of.options, 2, {}, { ...settings, shell: 'exec "$@"', options: { maxRead: 2_000_000 } });
    for (const { merges } of results) expect(merges).toMatchObject([{ output: 'merged-checkpoint-300' }]);
    const provenance = JSON.parse(readFileSync(join(of.options.output, 'merged-checkpoint-300', 'merge_provenance.json'), 'utf8'));
    expect(provenance.timings.ranks).toBe(2);
  });
});

/** One of several dies, or is ended, while they make what is due. */
describe('a watch with once, of which a rank is lost', () => {
  const kill = (call: string, match: string, more: Partial<RankFault> = {}): RankFault => ({
    ...{ call, match, nth: 1, after: false, how: 'kill' },
    ...more,
  });
  const IN_MERGE = kill('native.combine', '', { nth: 2 });
  /** The others may have made nearly all of it before this one comes. */
  const SOON = { ...IN_MERGE, nth: 1 };

  it.each([
    ['the first, before it has said what is due', 0, kill('rename', 'order-0')],
    ['the first, right after it said what is due', 0, kill('rename', 'order-0', { after: true })],
    ['the first, in a merge', 0, IN_MERGE],
    ['the first, in a merge, by SIGTERM', 0, { ...IN_MERGE, how: 'term' }],
    ['the first, before the history has a line', 0, kill('open', 'history.jsonl')],
    ['the first, when the history has its line', 0, kill('open', 'state.json.draft', { nth: 3 })],
    ['the first, before the others know that it is over', 0, kill('rename', 'result.json')],
    ['another, in a merge', 1, SOON],
    ['another, in a merge, by SIGTERM', 1, { ...SOON, how: 'term' }],
    ['another, by an I/O error', 1, { ...SOON, how: 'EIO' }],
    ['the first, by an I/O error', 0, { ...IN_MERGE, how: 'EIO' }],
  ] as const)('%s: the others make all of it', { timeout: CAMPAIGN_MS }, async (_, lost, fault) => {
    const of = watched();
    const results = await allRanks(of.options, 3, { [lost]: fault }, { options: { maxRead: 1_000_000 } });
    for (const [rank, result] of results.entries()) {
      if (rank !== lost) expect(result).toMatchObject({ failed: [], looked: { checkpoints: 3 } });
      else if (fault.how === 'kill') expect(result).toBeNull();
      else expect(result).toMatchObject({ exit: fault.how === 'term' ? 143 : 75 });
    }
    expect(mergesIn(of.options.output)).toEqual(['merged-checkpoint-300']);
    expect(historyOf(of.options.output)).toMatchObject([{ checkpoint: 'checkpoint-300', output: 'merged-checkpoint-300', error: null }]);
    const made = tensors(of);
    expect(made).toEqual(await newest());
    // The next start finds nothing to do, and leaves nothing but the watch's own.
    for (const result of await allRanks(of.options, 2)) expect(result).toMatchObject({ merges: [], failed: [] });
    expect(inWatch(of.options.output)).toEqual([]);
    expect(hiddenIn(of.options.output)).toEqual(['.merge-watch']);
  });

  it('the first stands still for longer than the time-out, and wakes: what was done meanwhile stands', {
    timeout: CAMPAIGN_MS,
  }, async () => {
    const of = watched();
    const more = { size: 2, timeout: 1, options: { maxRead: 2_000_000 } };
    const first = startRank(of.options, { ...more, rank: 0, fault: kill('link', 'unit-', { nth: 2, after: true, how: 'stop' }) });
    const other = startRank(of.options, { ...more, rank: 1 });
    expect(await other.ended).toMatchObject({ failed: [], merges: [{ output: 'merged-checkpoint-300' }] });
    first.child.kill('SIGCONT');
    // It is too late to learn how that one ended, and finds nothing left to do.
    const woken = await first.ended;
    expect(woken).toMatchObject({ failed: [] });
    expect(historyOf(of.options.output)).toHaveLength(1);
    expect(mergesIn(of.options.output)).toEqual(['merged-checkpoint-300']);
    expect(hiddenIn(of.options.output)).toEqual(['.merge-watch']);
  });

  it('all are ended: the same command goes on, with another number, or by one process', { timeout: CAMPAIGN_MS }, async () => {
    for (const size of [1, 3]) {
      const of = watched();
      const slow = { options: { maxRead: 2_000_000 } };
      const ranks = [0, 1].map((rank) => startRank(of.options, { rank, size: 2, fault: { ...IN_MERGE, how: 'kill' }, ...slow }));
      for (const { ended } of ranks) expect(await ended).toBeNull();
      for (const result of await allRanks(of.options, size))
        expect(result).toMatchObject({ merges: [{ output: 'merged-checkpoint-300' }] });
      expect(historyOf(of.options.output)).toHaveLength(1);
      const made = tensors(of);
      expect(made).toEqual(await newest());
    }
  });
});

describe('ranks of a watch', () => {
  it('that cannot be: refused, with what to do', { timeout: CAMPAIGN_MS }, async () => {
    const of = watched();
    const words = ['watch', of.options.run, '-o', of.options.output];
    const env = { MERGE_RANK: '0', MERGE_WORLD_SIZE: '2' };
    const goesOn = await runCli(words, { env });
    expect(goesOn).toMatchObject({ code: 2, stdout: '' });
    expect(goesOn.stderr).toContain('error[E_USAGE]: a watch that goes on is one process, and this is rank 0 of 2 (MERGE_RANK)');
    expect(goesOn.stderr).toContain('With --once the ranks make together what is due now.');
    const launches = await runCli([...words, '--once', '--launcher', 'srun -N 2'], { env });
    expect(launches.code).toBe(2);
    expect(launches.stderr).toContain('--launcher is for one process, and this is rank 0 of 2');
    expect(existsSync(of.options.output)).toBe(false);
  });

  it('print by the first alone, and end with the code of the first round that failed', { timeout: CAMPAIGN_MS }, async () => {
    const of = watched();
    const words = ['watch', of.options.run, '--once', '--settle', '0.05', '-o', of.options.output];
    const both = (more: readonly string[]) =>
      Promise.all([0, 1].map((rank) => runCli([...words, ...more], { env: { MERGE_RANK: String(rank), MERGE_WORLD_SIZE: '2' } })));
    const [first, other] = await both(['--json']);
    expect(JSON.parse(first!.stdout)).toMatchObject({ schema: 'ckpt-merge/watch', merges: [{ output: 'merged-checkpoint-300' }] });
    expect(first!.stderr).toContain('rank 0 of 2, by MERGE_RANK\n');
    expect(other).toMatchObject({ code: 0, stdout: '', stderr: '' });
    save(of, 400);
    // The last tensor is of F16.
    const shard = join(of.folder, 'run', 'checkpoint-400', 'model-00002-of-00002.safetensors');
    const bytes = readFileSync(shard);
    bytes.writeUInt16LE(0x7c00, bytes.length - 2);
    writeFileSync(shard, bytes);
    const [failed, silent] = await both(['--fail-nonfinite']);
    expect(failed).toMatchObject({ code: 3, stdout: '' });
    expect(failed!.stderr).toContain('error[E_NONFINITE]: ');
    expect(silent).toMatchObject({ code: 3, stdout: '', stderr: '' });
  });

  it('that find another watch at work there end as it would', { timeout: CAMPAIGN_MS }, async () => {
    const of = watched();
    const busy = startRank(of.options, { rank: 0, size: 1, options: { settle: 30 } });
    while (!existsSync(join(of.options.output, '.merge-watch', 'state.json'))) await pause(50);
    for (const result of await allRanks(of.options, 2)) expect(result).toMatchObject({ code: 'E_BUSY', exit: 75 });
    busy.child.kill('SIGTERM');
    await busy.ended;
  });
});
