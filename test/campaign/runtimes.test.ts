import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { runCli } from '../support/run-cli.ts';
import { temporaryFolder } from '../support/safetensors.ts';
import { weightedRun } from '../support/weighted-run.ts';

const OTHER = new URL('../support/other-runtime.js', import.meta.url).href;

/** Yarn's Plug'n'Play, Deno, and Nodes in a sandbox or built small: what they lack, taken from this Node. */
describe.each(['pnp', 'deno', 'sandbox', 'no-icu'])('where the runtime is like that of %s', (runtime) => {
  it(
    'every command that merges does, and doctor finds nothing that fails',
    async () => {
      const folder = temporaryFolder();
      weightedRun(join(folder, 'run'), 3);
      const recipe = { inputs: ['run'], outputs: ['one', 'two'].map((path) => ({ path, select: { last: 2 } })) };
      writeFileSync(join(folder, 'recipe.yaml'), JSON.stringify(recipe));
      const evaluated = ['--eval', 'mkdir -p $MERGE_OUT/a/b; test {model} && echo 1', '--goal', 'maximize'];
      for (const words of [
        ['average', 'run', '-o', 'out'],
        ['average', 'run', '-o', 'out', '--force'],
        ['verify', 'out', '--full'],
        ['run', 'recipe.yaml'],
        ['search', 'run', '--last', '2', '--trials', '3', ...evaluated, '-o', 'best'],
        ['watch', 'run', '-o', 'watched', '--window', '2', '--once'],
        ['doctor', '.'],
      ]) {
        const env = { NODE_OPTIONS: `--import ${OTHER}`, CKPT_TEST_RUNTIME: runtime };
        const { code, stderr, stdout } = await runCli(words, { cwd: folder, env });
        expect([words.join(' '), code, code === 0 ? '' : stderr]).toEqual([words.join(' '), 0, '']);
        if (words[0] === 'doctor') expect(stdout.match(/^fail.*/m)?.[0]).toBeUndefined();
        if (words[0] === 'doctor' && runtime === 'pnp') expect(stdout).toMatch(/^ok +flushing .*by descriptor/m);
        if (words[0] === 'doctor' && runtime === 'sandbox') expect(stdout).toMatch(/^warn +held folders/m);
      }
    },
    CAMPAIGN_MS,
  );
});
