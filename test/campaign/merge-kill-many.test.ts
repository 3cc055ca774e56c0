import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import type { OutputRequest } from '../../src/merge/plan/types.ts';
import { CAMPAIGN_MS, seedOf, TIMES } from '../support/campaign.ts';
import { generator } from '../support/checkpoints.ts';
import { checkpoints, contentOf, hiddenBeside, removeCheckpoints, SHARDS, type Slow, start } from '../support/faults-merge.ts';
import { pooled } from '../support/hostile-case.ts';

const CHILD = fileURLToPath(new URL('../support/faults-many-child.js', import.meta.url));
/** Milliseconds that a call of the killed merges takes at least. */
const CALL_MS = 12;
const MOMENTS = 20 * TIMES;
const RECIPES: readonly Omit<OutputRequest, 'path'>[] = [{}, { method: 'wma', dtype: 'F32' }, { members: [1] }];

afterAll(removeCheckpoints);

/** A merge of all recipes in a process of its own, and what it said; null where it was killed. */
async function mergeAll(folder: string, inputs: readonly string[], options: { readonly resume?: boolean; readonly slow?: Slow } = {}) {
  const outputs = RECIPES.map((recipe, k) => ({ ...recipe, path: join(folder, `out-${k}`) }));
  const request = JSON.stringify({ inputs, outputs, resume: options.resume ?? false });
  const { signal, stdout, stderr } = await start([request], options.slow, CHILD).ended;
  if (signal === null && stdout === '') throw new Error(stderr);
  return signal === null ? JSON.parse(stdout) : null;
}

/** What there is of each output, but for the names of the inputs, which differ by folder. */
const contents = (folder: string) => RECIPES.map((_, k) => contentOf(join(folder, `out-${k}`)));

it(
  `kill -9 at ${MOMENTS} moments of a merge of several outputs, then a resume: the bytes of an undisturbed one`,
  async () => {
    const seed = seedOf(20_260_401);
    const random = generator(seed);
    const below = (n: number) => Math.floor((random() / 2 ** 32) * n);
    const whole = checkpoints();
    await mergeAll(whole.folder, whole.inputs);
    const wanted = contents(whole.folder);
    for (const files of wanted) expect(Object.keys(files).filter((name) => name.endsWith('.safetensors'))).toHaveLength(SHARDS);

    const renames = RECIPES.flatMap((_, k) => [{ beforeRename: k + 1 }, { afterRename: k + 1 }]);
    // Within and between units; after the last call, while the outputs are put together and published.
    const calls = Array.from({ length: MOMENTS - renames.length }, (_, i) => {
      const call = 1 + (i % SHARDS);
      return { call, ms: below(call === SHARDS ? CALL_MS * 8 : CALL_MS * 2) };
    });

    const seen = await pooled([...renames, ...calls], 4, async (kill) => {
      const { folder, inputs } = checkpoints();
      const killed = await mergeAll(folder, inputs, { slow: { callMs: CALL_MS, kill } });
      const published = RECIPES.filter((_, k) => existsSync(join(folder, `out-${k}`))).length;
      // What is there is whole.
      for (const [k, files] of contents(folder).entries()) if (k < published) expect(files).toEqual(wanted[k]);
      const said = await mergeAll(folder, inputs, { resume: true });
      const outcome = said.code ?? `resumed ${said.resumedBytes} bytes, ${said.finished.length} finished`;
      expect(contents(folder)).toEqual(wanted);
      expect(said).toMatchObject({ schema: 'ckpt-merge/average' });
      expect(RECIPES.flatMap((_, k) => hiddenBeside(join(folder, `out-${k}`)))).toEqual([]);
      return {
        kill,
        published,
        resumed: said.resumedBytes ?? 0,
        line: `${JSON.stringify(kill)}: ${killed === null ? 'killed' : 'was done before'}; ${published} published; ${outcome}`,
      };
    });
    process.stdout.write(`kill -9 of ${basename(CHILD)} with seed ${seed}:\n${seen.map((s) => s.line).join('\n')}\n`);
    // Killed after one or two of the three are in their places, the resume leaves these alone and goes on
    // with what the others have.
    const at = (kill: object) => seen.find((s) => JSON.stringify(s.kill) === JSON.stringify(kill))!;
    for (const k of [1, 2]) {
      expect(at({ afterRename: k }).published).toBe(k);
      expect(at({ afterRename: k }).resumed).toBeGreaterThan(0);
    }
    expect(seen.filter((s) => s.resumed > 0).length).toBeGreaterThanOrEqual(0.3 * MOMENTS);
  },
  CAMPAIGN_MS,
);
