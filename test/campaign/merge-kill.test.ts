import { existsSync } from 'node:fs';
import { afterAll, describe, expect, it } from 'vitest';
import { CAMPAIGN_MS, seedOf, TIMES } from '../support/campaign.ts';
import { generator } from '../support/checkpoints.ts';
import { checkpoints, contentOf, hiddenBeside, removeCheckpoints, run, SHARDS, start } from '../support/faults-merge.ts';
import { pooled } from '../support/hostile-case.ts';

/** Milliseconds that a call of the killed merges takes at least. */
const CALL_MS = 20;

afterAll(removeCheckpoints);

describe('kill -9', () => {
  it(
    'at any moment leaves nothing half made: a rerun, and --resume, give the bytes of an undisturbed merge',
    async () => {
      const seed = seedOf(20_260_101);
      const random = generator(seed);
      const below = (n: number) => Math.floor((random() / 2 ** 32) * n);
      const whole = checkpoints();
      expect((await run('average', ...whole.inputs, '-o', whole.out)).code).toBe(0);
      expect((await run('verify', whole.out, '--full')).code).toBe(0);
      const wanted = contentOf(whole.out);
      // Before the first unit is journaled, within and between units, around publishing.
      const kills = ['rerun', 'resume'].flatMap((how) =>
        Array.from({ length: SHARDS * TIMES }, (_, i) => ({ how, call: 1 + (i % SHARDS), ms: below(CALL_MS * 2) })),
      );

      const seen = await pooled(kills, 4, async ({ how, call, ms }) => {
        const { inputs, out } = checkpoints();
        const { signal } = await start(['average', ...inputs, '-o', out], { callMs: CALL_MS, kill: { call, ms } }).ended;
        // A folder is there whole or not at all.
        const published = existsSync(out);
        if (published) expect(contentOf(out)).toEqual(wanted);
        const words = ['average', ...inputs, '-o', out, '--json', ...(published ? ['--force'] : [])];
        const said = JSON.parse((await run(...words, ...(how === 'resume' ? ['--resume'] : []))).stdout);
        const outcome = said.code ?? `resumed ${said.resumedBytes} bytes`;
        expect(said).toMatchObject({ schema: 'ckpt-merge/average' });
        expect(contentOf(out)).toEqual(wanted);
        expect(hiddenBeside(out)).toEqual([]);
        return `${how} after kill at call ${call} + ${ms} ms: ${signal ?? 'was done before'}; ${outcome}`;
      });
      process.stdout.write(`kill -9 with seed ${seed}:\n${seen.join('\n')}\n`);
      // --resume goes on with what calls 3 and 4 found journaled; a plain rerun takes nothing over.
      expect(seen.filter((line) => /^resume .* resumed [1-9]/.test(line)).length).toBeGreaterThanOrEqual(2);
      expect(seen.filter((line) => /^rerun .* resumed [1-9]/.test(line))).toEqual([]);
    },
    CAMPAIGN_MS,
  );
});
