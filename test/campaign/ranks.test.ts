import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import type { Recipe } from '../../src/recipe/types.ts';
import { CAMPAIGN_MS, TIMES } from '../support/campaign.ts';
import { writeCheckpoint } from '../support/checkpoints.ts';
import { goldensIn } from '../support/containers.ts';
import { writeQuantised } from '../support/quantised-layouts.ts';
import { allRanks, hiddenIn, type RankFault, RUN_TENSORS, rankedRun, removeRuns, startRank } from '../support/ranks.ts';
import { runCli } from '../support/run-cli.ts';

afterAll(removeRuns);

/** Every file of what lies at a path, but for the times that the record of a merge has. */
function everything(path: string): Record<string, string> {
  if (statSync(path).isFile()) return { '': readFileSync(path, 'base64') };
  const names = (readdirSync(path, { recursive: true }) as string[]).sort().filter((name) => statSync(join(path, name)).isFile());
  return Object.fromEntries(
    names.map((name) => {
      const bytes = readFileSync(join(path, name));
      if (!name.endsWith('merge_provenance.json')) return [name, bytes.toString('base64')];
      const { timings, request, ...rest } = JSON.parse(bytes.toString());
      return [name, JSON.stringify(rest)];
    }),
  );
}

const MADE = { schema: 'ckpt-merge/average' };

interface Made {
  readonly recipe: Recipe;
  /** What is published, beside each other. */
  readonly outs: readonly string[];
  readonly unitBytes?: number;
}

/** The recipe with one output of what is asked for, in the folder of a run. */
function ofRun(about: Partial<Recipe['outputs'][number]> = {}, more: Partial<Recipe> = {}): Made {
  const { recipe, out } = rankedRun();
  return { recipe: { ...recipe, ...more, outputs: [{ path: out, select: { last: 3 }, ...about }] }, outs: [out] };
}

function ofGolden(name: string, inputs: readonly string[], more: Partial<Recipe>, about: Partial<Recipe['outputs'][number]> = {}): Made {
  const { folder } = rankedRun();
  const home = goldensIn(folder)(name);
  const out = join(folder, more.format === 'torch' ? 'out.pt' : 'out');
  return {
    recipe: { inputs: inputs.map((input) => join(home, input)), outputs: [{ path: out, ...about }], ...more },
    outs: [out],
    unitBytes: 4096,
  };
}

const CASES: readonly (readonly [what: string, make: () => Made])[] = [
  ['three checkpoints', () => ofRun()],
  ['a dtype of its own', () => ofRun({ dtype: 'F32' })],
  [
    'policies: oldest, newest, another dtype',
    () =>
      ofRun({
        policies: [
          { name: '*up_proj*', use: 'newest' },
          { name: 'model.layers.0.mlp.down_proj.weight', use: 'oldest' },
        ],
      }),
  ],
  [
    'several outputs of one read',
    () => {
      const { recipe, folder, out } = rankedRun();
      const outputs = [
        { path: out, select: { last: 3 } },
        { path: join(folder, 'ema'), select: { last: 3 }, method: 'ema' as const },
        { path: join(folder, 'two'), select: { last: 2 }, dtype: 'F32' as const },
      ];
      return { recipe: { ...recipe, outputs }, outs: outputs.map(({ path }) => path) };
    },
  ],
  [
    'a window that slides over the run',
    () => {
      const { recipe, folder } = rankedRun();
      const outputs = [{ path: join(folder, 'w-{step}'), select: { last: 2 }, sliding: true }];
      return { recipe: { ...recipe, outputs }, outs: [200, 300].map((step) => join(folder, `w-${step}`)) };
    },
  ],
  [
    'a file of its own',
    () => {
      const { folder } = rankedRun();
      const inputs = [100, 200].map((step) => join(folder, 'run', `checkpoint-${step}`, 'model-00001-of-00002.safetensors'));
      const out = join(folder, 'one.safetensors');
      return { recipe: { inputs, outputs: [{ path: out }] }, outs: [out] };
    },
  ],
  [
    'a conversion',
    () => {
      const { folder, out } = rankedRun();
      const inputs = [join(folder, 'run', 'checkpoint-300')];
      return { recipe: { inputs, outputs: [{ path: out, convert: true, dtype: 'F16' }] }, outs: [out] };
    },
  ],
  ['other files than the members', () => ofRun({}, { files: 3 })],
  [
    'quantised weights',
    () => {
      const { folder, out } = rankedRun();
      const inputs = [100, 200].map((step) => {
        writeQuantised(join(folder, `checkpoint-${step}`), step, step, 'block', 'apart');
        return join(folder, `checkpoint-${step}`);
      });
      return { recipe: { inputs, outputs: [{ path: out, dtype: 'same' }] }, outs: [out], unitBytes: 2048 };
    },
  ],
  ['DCP as safetensors', () => ofGolden('dcp-fsdp', ['100', '200'], {})],
  ['DCP as DCP', () => ofGolden('dcp-fsdp', ['100', '200'], { format: 'dcp' })],
  ['DCP that training goes on from', () => ofGolden('dcp-resume', ['60', '80'], { format: 'dcp' }, { for: 'resume' })],
  ['torch as torch', () => ofGolden('torch-out-2.15', ['1.pt', '2.pt'], { format: 'torch', allowUnknown: true })],
];

describe.each(CASES)('%s', (what, make) => {
  const { recipe, outs, unitBytes } = make();
  const more = { timeout: 20, ...(unitBytes !== undefined && { unitBytes }) };
  const content = () => outs.map(everything);
  let wanted: Record<string, string>[] | undefined;

  // All numbers of ranks for one of them, or in long runs.
  it.each(TIMES > 1 ? [1, 2, 3, 8] : what === 'three checkpoints' ? [1, 2, 8] : [3])(
    'by %i ranks: every file is that of one process',
    async (size) => {
      if (wanted === undefined) {
        expect(await startRank(recipe, { ...more, rank: 0, size: 1 }).ended).toMatchObject(MADE);
        wanted = content();
        for (const out of outs) rmSync(out, { recursive: true });
      }
      for (const result of await allRanks(recipe, size, {}, more)) expect(result).toMatchObject(MADE);
      expect(content()).toEqual(wanted);
      expect(hiddenIn(join(outs[0]!, '..'))).toEqual([]);
      // A rank that comes when all is done has nothing to do.
      const late = await startRank(recipe, { ...more, rank: 5, size: 8 }).ended;
      expect(late).toMatchObject({ ...MADE, outputs: [] });
      expect(content()).toEqual(wanted);
      expect(hiddenIn(join(outs[0]!, '..'))).toEqual([]);
      for (const out of outs) rmSync(out, { recursive: true });
    },
    CAMPAIGN_MS,
  );
});

/** A run, and what one process makes of it. */
async function runWithWanted(options: Readonly<Record<string, unknown>> = {}) {
  const run = rankedRun();
  expect(await startRank(run.recipe, { rank: 0, size: 1, options }).ended).toMatchObject(MADE);
  const wanted = everything(run.out);
  rmSync(run.out, { recursive: true });
  return { ...run, wanted, board: () => join(run.folder, hiddenIn(run.folder)[0]!) };
}

const at = (call: string, match: string, how: string, more: Partial<RankFault> = {}): RankFault => ({
  ...{ call, match, how, nth: 1, after: true },
  ...more,
});
const KILLED_AT_WORK = at('appendFile', '', 'kill');

/** Waits until something is there. */
async function until(holds: () => boolean, what: string): Promise<void> {
  for (let tries = 0; !holds(); tries++) {
    if (tries === 2000) throw new Error(`waited in vain for ${what}`);
    await pause(10);
  }
}

describe('ranks of one merge', () => {
  it(
    'a late one that finds all done says so, and ends well',
    async () => {
      const { recipe, out, wanted, folder } = await runWithWanted();
      await allRanks(recipe, 2);
      expect(await startRank(recipe, { rank: 1, size: 2 }).ended).toMatchObject({ ...MADE, said: ['W_MADE_BEFORE'], finished: [out] });
      expect(everything(out)).toEqual(wanted);
      expect(hiddenIn(folder)).toEqual([]);
    },
    CAMPAIGN_MS,
  );

  it(
    'a checkpoint that is saved between the starts of two takes no part',
    async () => {
      const { recipe, out, wanted, board, folder } = await runWithWanted();
      const first = startRank(recipe, { rank: 0, size: 2, timeout: 20, options: { maxRead: 1_000_000 } });
      await until(() => hiddenIn(folder).length > 0 && existsSync(join(board(), 'plan.json')), 'a plan');
      writeCheckpoint(join(folder, 'run', 'checkpoint-400'), [RUN_TENSORS.slice(0, 2), RUN_TENSORS.slice(2)], 400);
      expect(await startRank(recipe, { rank: 1, size: 2, timeout: 20 }).ended).toMatchObject(MADE);
      expect(await first.ended).toMatchObject(MADE);
      expect(everything(out)).toEqual(wanted);
    },
    CAMPAIGN_MS,
  );

  it(
    'killed, and started again in another number: what is there is checked, and made anew where it was damaged',
    async () => {
      const { recipe, out, wanted, board, folder } = await runWithWanted();
      expect(await allRanks(recipe, 3, { 0: KILLED_AT_WORK, 1: KILLED_AT_WORK, 2: KILLED_AT_WORK })).toEqual([null, null, null]);
      const lines = readdirSync(board())
        .filter((name) => name.startsWith('journal-'))
        .flatMap((name) => readFileSync(join(board(), name), 'utf8').trim().split('\n'));
      const { file, start } = JSON.parse(lines[0]!);
      const path = join(board(), 'payload', file);
      const bytes = readFileSync(path);
      bytes[start]! ^= 1;
      writeFileSync(path, bytes);
      const again = await allRanks(recipe, 2);
      for (const result of again) expect(result).toMatchObject(MADE);
      const said = again.flatMap((result) => result.said);
      expect(said).toContain('W_PART_CHANGED');
      expect(said).toContain('W_RANKS_GO_ON');
      expect(everything(out)).toEqual(wanted);
      expect(hiddenIn(folder)).toEqual([]);
    },
    CAMPAIGN_MS,
  );

  it.each([
    ['of the same start', 'job 1', 0],
    ['of another start', 'job 2', 1],
  ] as const)(
    'units of a rank %s that is no more',
    async (_, launch, checked) => {
      const { recipe, out, wanted } = await runWithWanted();
      const env = (rank: number, name: string) => ({ MERGE_RANK: String(rank), MERGE_WORLD_SIZE: '2', MERGE_LAUNCH: name });
      const about = { size: 2, env: env(0, 'job 1') };
      expect(await startRank(recipe, { ...about, rank: 0, fault: KILLED_AT_WORK }).ended).toBeNull();
      const count = at('native.crc32cFile', '', 'count', { always: true });
      const result = await startRank(recipe, { ...about, rank: 1, env: env(1, launch), fault: count }).ended;
      expect(result).toMatchObject(MADE);
      // Their checksums are compared with what lies there.
      expect(result.met > 0).toBe(checked === 1);
      expect(everything(out)).toEqual(wanted);
    },
    CAMPAIGN_MS,
  );

  it(
    'one that stands still for longer than the time-out drops its unit, and ends well',
    async () => {
      const { recipe, out, wanted, folder } = await runWithWanted();
      const still = startRank(recipe, { rank: 0, size: 2, fault: at('link', 'unit-', 'stop') });
      await until(() => hiddenIn(folder).length > 0 && readdirSync(join(folder, hiddenIn(folder)[0]!)).includes('claims'), 'a board');
      expect(await startRank(recipe, { rank: 1, size: 2 }).ended).toMatchObject(MADE);
      const made = everything(out);
      still.child.kill('SIGCONT');
      expect(await still.ended).toMatchObject(MADE);
      expect(made).toEqual(wanted);
      expect(everything(out)).toEqual(wanted);
      expect(hiddenIn(folder)).toEqual([]);
    },
    CAMPAIGN_MS,
  );

  it(
    'one that stands still for longer than the time-out as it looks for the plan has nothing to drop, and goes on',
    async () => {
      const { recipe, out, wanted, folder } = await runWithWanted();
      const still = startRank(recipe, { rank: 0, size: 2, fault: at('open', 'plan.json', 'stop', { after: false }) });
      const isStopped = () => /^State:\s*T/m.test(readFileSync(`/proc/${still.child.pid}/status`, 'utf8'));
      await until(() => process.platform !== 'linux' || isStopped(), 'a process that stands still');
      await pause(1000);
      still.child.kill('SIGCONT');
      expect(await still.ended).toMatchObject(MADE);
      expect(everything(out)).toEqual(wanted);
      expect(hiddenIn(folder)).toEqual([]);
    },
    CAMPAIGN_MS,
  );

  it(
    'one process alone that is asked for the same goes on with what ranks left',
    async () => {
      const { recipe, out, wanted, folder } = await runWithWanted();
      expect(await startRank(recipe, { rank: 0, size: 4, fault: KILLED_AT_WORK }).ended).toBeNull();
      const result = await startRank(recipe, { rank: 0, size: 1 }).ended;
      expect(result).toMatchObject(MADE);
      expect(result.said).toContain('W_RANKS_GO_ON');
      expect(everything(out)).toEqual(wanted);
      expect(hiddenIn(folder)).toEqual([]);
    },
    CAMPAIGN_MS,
  );

  it(
    'replace an older merge where they are told to, and refuse otherwise',
    async () => {
      const { recipe, out, wanted, folder } = await runWithWanted();
      const other = { ...recipe, outputs: [{ ...recipe.outputs[0]!, dtype: 'F32' as const }] };
      await startRank(other, { rank: 0, size: 1 }).ended;
      const before = everything(out);
      for (const result of await allRanks(recipe, 2)) expect(result).toMatchObject({ code: 'E_OUTPUT_EXISTS', exit: 4 });
      expect(everything(out)).toEqual(before);
      expect(hiddenIn(folder)).toEqual([]);
      for (const result of await allRanks(recipe, 2, {}, { options: { force: true } })) expect(result).toMatchObject(MADE);
      expect(everything(out)).toEqual(wanted);
      expect(hiddenIn(folder)).toEqual([]);
    },
    CAMPAIGN_MS,
  );

  it(
    'where there are no hard links: every file is that of one process',
    async () => {
      const { recipe, out, wanted, folder } = await runWithWanted();
      const none = at('link', '', 'EPERM', { after: false, always: true });
      const ended = await allRanks(recipe, 3, { 0: none, 1: none, 2: none });
      for (const result of ended) expect(result).toMatchObject(MADE);
      expect(ended.some((result) => result.met > 0)).toBe(true);
      expect(everything(out)).toEqual(wanted);
      expect(hiddenIn(folder)).toEqual([]);
    },
    CAMPAIGN_MS,
  );

  it(
    'the record counts ranks and hosts, and names none',
    async () => {
      const { recipe, out } = rankedRun();
      await allRanks(recipe, 3, {}, { timeout: 20, options: { maxRead: 3_000_000 } });
      const text = readFileSync(join(out, 'merge_provenance.json'), 'utf8');
      const { timings } = JSON.parse(text);
      expect(timings).toMatchObject({ ranks: expect.any(Number), hosts: 1 });
      expect(timings.ranks).toBeGreaterThanOrEqual(1);
      expect(text.split(/[^\w.-]+/)).not.toContain(hostname());
    },
    CAMPAIGN_MS,
  );

  it(
    'the record has what all of them read, also one that is killed when all is made',
    async () => {
      const alone = rankedRun();
      await startRank(alone.recipe, { rank: 0, size: 1 }).ended;
      const read = (out: string) => JSON.parse(readFileSync(join(out, 'merge_provenance.json'), 'utf8')).timings;
      const { recipe, out, folder } = rankedRun();
      const awaits = join(folder, 'go');
      // It makes everything within the time of one sign of life.
      const fault = { call: 'link', match: 'finish\\.', nth: 1, after: false, how: 'kill' };
      const first = startRank(recipe, { rank: 0, size: 2, timeout: 20, awaits });
      const second = await startRank(recipe, { rank: 1, size: 2, timeout: 20, fault }).ended;
      expect(second).toBeNull();
      writeFileSync(awaits, '');
      const result = await first.ended;
      // A unit that the other one made as well is read twice.
      expect(read(out).ranks).toBe(2);
      expect(read(out).bytesRead).toBeGreaterThanOrEqual(read(alone.out).bytesRead);
      expect(result).toMatchObject({ ...MADE, ranks: 2, bytesRead: read(out).bytesRead });
      expect(result.seconds).toBeGreaterThanOrEqual(read(out).seconds);
    },
    CAMPAIGN_MS,
  );

  it(
    'print one document together, and what only one of them says has its rank before it',
    async () => {
      const { out, folder } = rankedRun();
      const start = (rank: number, input: string) =>
        runCli(['average', join(folder, input), '--last', '3', '-o', out, '--json', '--rank-timeout', '20'], {
          env: { MERGE_RANK: String(rank), MERGE_WORLD_SIZE: '3' },
        });
      const failed = await Promise.all([0, 1, 2].map((rank) => start(rank, 'none')));
      expect(failed.map(({ code }) => code)).toEqual([3, 3, 3]);
      expect(JSON.parse(failed.map(({ stdout }) => stdout).join(''))).toMatchObject({ schema: 'ckpt-merge/error' });
      expect(failed[0]!.stderr).toContain('rank 0 of 3');
      for (const [rank, { stderr }] of [...failed.entries()].slice(1)) {
        for (const line of stderr.split('\n').filter((text) => text !== '')) expect(line).toMatch(new RegExp(`^\\[rank ${rank}\\] `));
      }
      const made = await Promise.all([0, 1, 2].map((rank) => start(rank, 'run')));
      expect(made.map(({ code }) => code)).toEqual([0, 0, 0]);
      expect(JSON.parse(made.map(({ stdout }) => stdout).join(''))).toMatchObject(MADE);
      expect(made.slice(1).map(({ stderr }) => stderr)).toEqual(['', '']);
    },
    CAMPAIGN_MS,
  );
});
