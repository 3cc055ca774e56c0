import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CAMPAIGN_MS } from '../support/campaign.ts';
import { type CliResult, runCli } from '../support/run-cli.ts';
import { temporaryFolder } from '../support/safetensors.ts';
import { weightedRun } from '../support/weighted-run.ts';
import { yarnProject } from '../support/yarn-project.ts';

const OTHER = new URL('../support/other-runtime.js', import.meta.url).href;

/** Every command that merges, over a run of three members. */
function commandsIn(folder: string): readonly (readonly string[])[] {
  weightedRun(join(folder, 'run'), 3);
  const recipe = { inputs: ['run'], outputs: ['one', 'two'].map((path) => ({ path, select: { last: 2 } })) };
  writeFileSync(join(folder, 'recipe.yaml'), JSON.stringify(recipe));
  const evaluated = ['--eval', 'mkdir -p $MERGE_OUT/a/b; test {model} && echo 1', '--goal', 'maximize'];
  return [
    ['average', 'run', '-o', 'out'],
    ['average', 'run', '-o', 'out', '--force'],
    ['verify', 'out', '--full'],
    ['run', 'recipe.yaml'],
    ['search', 'run', '--last', '2', '--trials', '3', ...evaluated, '-o', 'best'],
    ['watch', 'run', '-o', 'watched', '--window', '2', '--once'],
    ['doctor', '.'],
  ];
}

function expectDone(words: readonly string[], { code, stderr, stdout }: CliResult, runtime: string): void {
  expect([words.join(' '), code, code === 0 ? '' : stderr]).toEqual([words.join(' '), 0, '']);
  if (words[0] !== 'doctor') return;
  expect(stdout.match(/^fail.*/m)?.[0]).toBeUndefined();
  if (runtime === 'pnp') expect(stdout).toMatch(/^ok +flushing .*by descriptor/m);
  if (runtime === 'sandbox') expect(stdout).toMatch(/^warn +held folders/m);
}

async function doneLike(runtime: string): Promise<void> {
  const folder = temporaryFolder();
  for (const words of commandsIn(folder)) {
    const env = { NODE_OPTIONS: `--import ${OTHER}`, CKPT_TEST_RUNTIME: runtime };
    expectDone(words, await runCli(words, { cwd: folder, env }), runtime);
  }
}

/** Plug'n'Play where Yarn cannot be had, Deno, and Nodes in a sandbox or built small: what they lack, taken from this Node. */
describe.each(['deno', 'sandbox', 'no-icu'])('where the runtime is like that of %s', (runtime) => {
  it('every command that merges does, and doctor finds nothing that fails', () => doneLike(runtime), CAMPAIGN_MS);
});

describe('installed by Yarn 4 with Plug’n’Play', () => {
  it(
    'every command that merges does, and doctor finds nothing that fails',
    async (context) => {
      const project = yarnProject();
      if (typeof project === 'string') {
        console.log(`skipped, with what it lacks taken from this Node instead: ${project}`);
        await doneLike('pnp');
        return context.skip();
      }
      const { folder, yarn } = project;
      expect(readdirSync(folder)).toContain('.pnp.cjs');
      for (const words of commandsIn(folder)) expectDone(words, await runCli(['merge', ...words], { cwd: folder, script: yarn }), 'pnp');
    },
    CAMPAIGN_MS,
  );
});
