import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shellQuote } from '../../src/base/process/shell-quote.ts';
import type { MergeResult } from '../../src/index.ts';
import { checkpoints, contentOf, hiddenBeside, removeCheckpoints, run, SHARDS, type Slow } from '../support/faults-merge.ts';
import { BIN } from '../support/run-cli.ts';
import { type Slurm, startSlurm, withoutSlurm } from '../support/slurm.ts';

const SLOW = new URL('../support/faults-slow.js', import.meta.url).href;
/** Milliseconds of each native call: long enough for ranks to meet. */
const CALL_MS = 300;

const reason = withoutSlurm();
if (reason !== null) console.log(`ranks on Slurm are not tested: ${reason}`);

/** Of a test in which a node fails, which Slurm notices when it likes. */
const LOST_MS = 280_000;

describe.skipIf(reason !== null)('ranks of a step of Slurm', () => {
  let slurm: Slurm;
  let wanted: Record<string, string>;

  beforeAll(async () => {
    slurm = await startSlurm();
    const { inputs, out } = checkpoints();
    expect((await run('average', ...inputs, '-o', out)).code).toBe(0);
    wanted = tensorsOf(out);
  });
  afterAll(async () => {
    await slurm?.stop();
    removeCheckpoints();
  });

  it.each([1, 2, 3, 8])('%i make what one process makes, and the first one says so', async (size) => {
    const { folder, out } = checkpoints();
    const { code, stdout, stderr } = await slurm.run('srun', [...tasks(size), 'sh', '-c', script()], { cwd: folder });
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(madeIn(stdout)).toEqual(['out']);
    expect(tensorsOf(out)).toEqual(wanted);
    expect(hiddenBeside(out)).toEqual([]);
  });

  it('finish without one that is killed, and the same again finds all done', async () => {
    const { folder, out } = checkpoints();
    const killed = script({ of: (rank) => (rank === 2 ? { callMs: CALL_MS, kill: { call: 1, ms: 20 } } : { callMs: CALL_MS }) });
    const first = await slurm.run('srun', [...tasks(4), '--kill-on-bad-exit=0', 'sh', '-c', killed], { cwd: folder });
    expect(first.code).toBe(137);
    expect(tensorsOf(out)).toEqual(wanted);
    expect(hiddenBeside(out)).toEqual([]);
    expect(await slurm.run('srun', [...tasks(4), 'sh', '-c', script()], { cwd: folder })).toMatchObject({ code: 0 });
  });

  it('that are cancelled are gone on from by another number of them', async () => {
    const { folder, out } = checkpoints();
    const job = await submit(folder, `srun ${tasks(4).join(' ')} sh -c ${shellQuote(script({ of: () => ({ callMs: 1000 }) }))}`);
    await journaled(out, 1);
    await slurm.run('scancel', [job]);
    expect(await slurm.ended(job)).toContain('JobState=CANCELLED');
    expect(existsSync(out)).toBe(false);
    const { code, stdout, stderr } = await slurm.run('srun', [...tasks(2), 'sh', '-c', script({ of: () => ({}) })], { cwd: folder });
    expect(code).toBe(0);
    expect(madeIn(stdout)).toEqual(['out']);
    // A call a shard: what was finished is not made again.
    expect(stderr.match(/\[call \d+\]/g)?.length ?? 0).toBeLessThan(SHARDS);
    expect(tensorsOf(out)).toEqual(wanted);
    expect(hiddenBeside(out)).toEqual([]);
  });

  it('of a job that queues again go on', async () => {
    const { folder, out } = checkpoints();
    const job = await submit(folder, `srun ${tasks(4).join(' ')} sh -c ${shellQuote(script({ of: () => ({ callMs: 1000 }) }))}`);
    await journaled(out, 1);
    expect((await slurm.run('scontrol', ['requeue', job])).code).toBe(0);
    await sleep(1000);
    const ended = await slurm.ended(job);
    expect(ended).toContain('JobState=COMPLETED');
    expect(ended).toContain('Restarts=1');
    expect(tensorsOf(out)).toEqual(wanted);
    expect(hiddenBeside(out)).toEqual([]);
  });

  it('that come when all is done end well and print nothing', async () => {
    const { folder, out } = checkpoints();
    const late = `case $SLURM_PROCID in 3) while [ ! -e out ]; do sleep 0.1; done;; esac\n${script()}`;
    const { code, stdout } = await slurm.run('srun', [...tasks(4), 'sh', '-c', late], { cwd: folder });
    expect(code).toBe(0);
    expect(madeIn(stdout)).toEqual(['out']);
    expect(tensorsOf(out)).toEqual(wanted);
    expect(hiddenBeside(out)).toEqual([]);
  });

  it('are the tasks of an array where that is asked for, and one that is queued again is done', async () => {
    const { folder, out } = checkpoints();
    const job = await submit(folder, script({ of: () => ({ callMs: 1000 }), words: ['--ranks', 'array'] }), ['--array=5-9:2']);
    await journaled(out, 1);
    expect((await slurm.run('scontrol', ['requeue', `${job}_7`])).code).toBe(0);
    for (const index of [5, 9]) expect(await slurm.ended(`${job}_${index}`)).toContain('JobState=COMPLETED');
    await sleep(1000);
    expect(await slurm.ended(`${job}_7`)).toContain('JobState=COMPLETED');
    expect(tensorsOf(out)).toEqual(wanted);
    expect(hiddenBeside(out)).toEqual([]);
  });

  it('recompute a merge together, and all of them find what is wrong with it', async () => {
    const { folder, inputs, out } = checkpoints();
    expect((await run('average', ...inputs, '-o', out)).code).toBe(0);
    const verify = ['-N3', '-n3', process.execPath, BIN, 'verify', 'out', '--full', '--json', '--rank-timeout', '2s'];
    const good = await slurm.run('srun', verify, { cwd: folder });
    expect(good).toMatchObject({ code: 0 });
    expect(JSON.parse(good.stdout)).toMatchObject({ schema: 'ckpt-merge/verify', ok: true, recomputed: { fraction: 1 } });
    const [file] = readdirSync(out).filter((name) => name.endsWith('.safetensors'));
    const bytes = readFileSync(join(out, file!));
    bytes[bytes.length - 300]! ^= 0x40;
    writeFileSync(join(out, file!), bytes);
    const wrong = await slurm.run('srun', verify, { cwd: folder });
    expect(wrong.code).toBe(5);
    expect(JSON.parse(wrong.stdout)).toMatchObject({ schema: 'ckpt-merge/error' });
  });

  it('make what a watch with once has due, and the first one says so', async () => {
    const { folder, inputs, out } = checkpoints();
    mkdirSync(join(folder, 'run'));
    const members = inputs.map((_, i) => join(folder, 'run', `checkpoint-${100 * (i + 1)}`));
    for (const [i, input] of inputs.entries()) renameSync(input, members[i]!);
    const words = ['watch', 'run', '--once', '--settle', '0.05', '-o', 'merges', '--json', '--rank-timeout', '2s'];
    const step = ['-N3', '-n3', process.execPath, BIN, ...words];
    const first = await slurm.run('srun', step, { cwd: folder });
    expect(first).toMatchObject({ code: 0 });
    const last = `merged-checkpoint-${100 * inputs.length}`;
    expect(JSON.parse(first.stdout)).toMatchObject({ schema: 'ckpt-merge/watch', merges: [{ output: last }] });
    expect((await run('average', ...members, '-o', out)).code).toBe(0);
    expect(tensorsOf(join(folder, 'merges', last))).toEqual(tensorsOf(out));
    const second = await slurm.run('srun', step, { cwd: folder });
    expect({ code: second.code, merges: JSON.parse(second.stdout).merges }).toEqual({ code: 0, merges: [] });
  });

  it('of a submitted job may die: they are started again, and the job is done', async () => {
    const { folder, out } = checkpoints();
    const { job, log } = await submitted(folder, { callMs: 1000, kill: { call: 1, ms: 20 } });
    expect(await slurm.ended(job)).toContain('JobState=COMPLETED');
    expect(readFileSync(log, 'utf8')).toContain('exit code 137: once more');
    expect(tensorsOf(out)).toEqual(wanted);
    expect(hiddenBeside(out)).toEqual([]);
  });

  it('of a submitted job go on without a machine that fails, and the job is done', { timeout: LOST_MS }, async () => {
    const { folder, out } = checkpoints();
    const { job, log } = await submitted(folder, { callMs: 1000 });
    await there(join(folder, 'started-1'));
    await without('n2', async () => {
      expect(await slurm.ended(job), readFileSync(log, 'utf8')).toMatch(/JobState=COMPLETED.*Restarts=0/s);
      expect(tensorsOf(out)).toEqual(wanted);
      expect(hiddenBeside(out)).toEqual([]);
    });
  });

  it('of a submitted job are started without a machine that failed before they were', { timeout: LOST_MS }, async () => {
    const { folder, out } = checkpoints();
    const { job, log } = await submitted(
      folder,
      { callMs: 0 },
      'srun() { [ -e failed ] || until [ -e failed ]; do sleep 0.1; done; command srun "$@"; }',
    );
    await there(log);
    await without('n2', async () => {
      writeFileSync(join(folder, 'failed'), '');
      expect(await slurm.ended(job), readFileSync(log, 'utf8')).toMatch(/JobState=COMPLETED.*Restarts=0/s);
      expect(readFileSync(log, 'utf8')).toContain('once more');
      expect(tensorsOf(out)).toEqual(wanted);
      expect(hiddenBeside(out)).toEqual([]);
    });
  });

  it('of a submitted job are started again beside a step that Slurm does not end', async () => {
    const { folder, out } = checkpoints();
    // As is left where a machine fails while Slurm starts a step on it: the step is in its books for ever.
    const held = [
      'srun() {',
      '  [ -e held ] && { command srun "$@"; return; }',
      '  command srun --nodes=4 --ntasks=4 sh -c ": >held; exec sleep 600" &',
      '  until [ -e held ]; do sleep 0.1; done',
      '  return 1',
      '}',
    ];
    const { job, log } = await submitted(folder, { callMs: 0 }, held.join('\n'));
    expect(await slurm.ended(job)).toContain('JobState=COMPLETED');
    expect(readFileSync(log, 'utf8')).toContain('exit code 1: once more');
    expect(tensorsOf(out)).toEqual(wanted);
  });

  /** Does something while a node has failed, which is there again for what comes after. */
  async function without(node: string, work: () => Promise<void>): Promise<void> {
    slurm.fail(node);
    let wrong: unknown;
    await work().catch((error: unknown) => (wrong = error));
    // A node that does not become idle comes of what went wrong before it.
    await slurm.repair(node).catch((error: unknown) => (wrong ??= error));
    if (wrong !== undefined) throw wrong;
  }

  /**
   * Submits what `merge submit` prints.
   * @param second how the second rank of the first attempt is slowed down
   * @param before lines for the script
   */
  async function submitted(folder: string, second: Slow, before = ''): Promise<{ readonly job: string; readonly log: string }> {
    const node = join(folder, 'node');
    const slow = (settings: Slow) => shellQuote(JSON.stringify(settings));
    const lines = [
      ': >"started-$SLURM_PROCID"',
      `export CKPT_TEST_SLOW=${slow({ callMs: 1000 })}`,
      `[ "$SLURM_PROCID/$SLURM_STEP_ID" = 1/0 ] && CKPT_TEST_SLOW=${slow(second)}`,
      `exec ${process.execPath} --import ${SLOW} "$@"`,
    ];
    writeFileSync(node, `#!/bin/sh\n${lines.join('\n')}\n`, { mode: 0o755 });
    const merge = ['average', 'checkpoint-1', 'checkpoint-2', '-o', 'out', '--rank-timeout', '2s'];
    const words = ['submit', 'slurm', '--nodes', '4', '--print', '--', ...merge];
    const { stdout } = await slurm.run(process.execPath, [BIN, ...words], { cwd: folder });
    expect(stdout).toContain(`merge=(${process.execPath} `);
    writeFileSync(
      join(folder, 'job.sh'),
      stdout.replace(`merge=(${process.execPath} `, `${before}\nmerge=(${node} `).replace('for pause in 10 120 0', 'for pause in 1 8 0'),
    );
    const { stdout: id } = await slurm.run('sbatch', ['--parsable', 'job.sh'], { cwd: folder });
    return { job: id.trim(), log: join(folder, `merge-out-${id.trim()}.log`) };
  }

  /** A command line for a shell of each task. @param of how each rank is slowed down */
  function script({ of, words = [] }: { of?: (rank: number) => Slow; words?: readonly string[] } = {}): string {
    const merge = [BIN, 'average', 'checkpoint-1', 'checkpoint-2', '-o', 'out', '--json', '--rank-timeout', '2s', ...words];
    const settings = of === undefined ? [] : Array.from({ length: 8 }, (_, rank) => JSON.stringify(of(rank)));
    const import_ = of === undefined ? [] : ['--import', SLOW];
    const cases = settings.map((text, rank) => `${rank}) CKPT_TEST_SLOW=${shellQuote(text)};;`);
    const choice = of === undefined ? '' : `case $SLURM_PROCID in ${cases.join(' ')} esac\nexport CKPT_TEST_SLOW\n`;
    return `${choice}exec ${[process.execPath, ...import_, ...merge].map(shellQuote).join(' ')}`;
  }

  async function submit(cwd: string, body: string, options: readonly string[] = []): Promise<string> {
    writeFileSync(join(cwd, 'job.sh'), `#!/bin/bash\n#SBATCH -N4 --ntasks-per-node=1 --requeue --open-mode=append\n${body}\n`);
    const nodes = options.some((option) => option.startsWith('--array')) ? ['-N1'] : [];
    const { stdout, stderr } = await slurm.run('sbatch', ['--parsable', ...nodes, ...options, 'job.sh'], { cwd });
    expect(stderr).toBe('');
    return stdout.trim();
  }
});

/** Options of srun for so many tasks on the four nodes. */
function tasks(size: number): readonly string[] {
  return [`-N${Math.min(size, 4)}`, `-n${size}`];
}

/** Outputs of the one document of all ranks. The first rank may be the last to begin, and finds them made. */
function madeIn(stdout: string): readonly string[] {
  const { outputs, finished } = JSON.parse(stdout) as MergeResult;
  return [...outputs.map(({ path }) => path), ...finished];
}

/** What a merge is, whoever made it. */
function tensorsOf(out: string): Record<string, string> {
  return Object.fromEntries(Object.entries(contentOf(out)).filter(([name]) => name !== 'merge_provenance.json'));
}

async function there(path: string): Promise<void> {
  while (!existsSync(path)) await sleep(20);
}

/** Waits until so many units of the merge to a path are finished. */
async function journaled(out: string, count: number): Promise<void> {
  for (;;) {
    const [partial] = hiddenBeside(out);
    const folder = partial === undefined ? null : join(out, '..', partial);
    const journals =
      folder === null ? [] : readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /^journal/.test(basename(name)));
    const lines = journals.flatMap((name) => readFileSync(join(folder!, name), 'utf8').split('\n').slice(0, -1));
    if (lines.length >= count) return;
    await sleep(20);
  }
}
