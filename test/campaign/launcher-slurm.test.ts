import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeCheckpoint } from '../support/checkpoints.ts';
import { contentOf } from '../support/faults-merge.ts';
import { runCli } from '../support/run-cli.ts';
import { type Slurm, startSlurm, withoutSlurm } from '../support/slurm.ts';

const reason = withoutSlurm();
if (reason !== null) console.log(`tests on Slurm are skipped: ${reason}`);

describe.skipIf(reason !== null)('--launcher srun, on four nodes of Slurm', () => {
  let slurm: Slurm;
  let folder: string;
  const SRUN = 'srun -N3 -n3 --kill-on-bad-exit=0';
  const run = (words: readonly string[], options = {}) => runCli(words, { cwd: folder, env: slurm.env, ...options });

  beforeAll(async () => {
    slurm = await startSlurm();
    folder = mkdtempSync(join(tmpdir(), 'merge-on-slurm-'));
    for (const step of [100, 200, 300])
      writeCheckpoint(join(folder, 'run', `checkpoint-${step}`), [[{ name: 'lm_head.weight', dtype: 'BF16', shape: [640, 8000] }]], step);
  });
  afterAll(async () => {
    await slurm?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it.each(['', ' --label'])('makes the bytes of one process%s', async (label) => {
    const [one, three] = [`one${label.length}`, `three${label.length}`];
    expect((await run(['average', 'run', '-o', one])).code).toBe(0);
    const { code, stdout, stderr } = await run(['average', 'run', '-o', three, '--launcher', `${SRUN}${label}`, '--json']);
    expect(code, stderr).toBe(0);
    // Where the rank that published was overtaken while it tidied up, all of them found it made.
    const { outputs, finished } = JSON.parse(stdout) as { outputs: { path: string }[]; finished: string[] };
    expect([...outputs.map(({ path }) => path), ...finished]).toEqual([three]);
    expect(contentOf(join(folder, three))).toEqual(contentOf(join(folder, one)));
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it.each(['SIGINT', 'SIGTERM'] as const)('hands over at %s, and the same command goes on', async (signal) => {
    const out = `stopped-${signal}`;
    const words = ['average', 'run', '-o', out, '--launcher', SRUN, '--progress', 'json'];
    const first = await run([...words, '--max-read', '4MB/s'], { signalAfter: [{ pattern: /"type":"progress"/, signal }] });
    expect(first.code, first.stderr).toBe(signal === 'SIGINT' ? 130 : 143);
    // The step has ended, too.
    for (let i = 0; i < 50 && (await slurm.run('squeue', ['--noheader', '--steps'])).stdout.trim() !== ''; i++) await sleep(200);
    expect((await slurm.run('squeue', ['--noheader'])).stdout.trim()).toBe('');
    const second = await run(words);
    expect(second.code, second.stderr).toBe(0);
    expect(Object.keys(contentOf(join(folder, out)))).toContain('model.safetensors');
    expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  it('says why there are no ranks', async () => {
    const { code, stderr } = await run(['average', 'run', '-o', 'none', '--launcher', 'srun -N9 -n9 --immediate=1']);
    expect(code).toBe(1);
    expect(stderr).toContain(
      'error[E_LAUNCHER]: --launcher srun -N9 -n9 --immediate=1: ended with exit code 1, and no rank of the merge began',
    );
    expect(stderr).toContain('srun: error:');
  });
});
