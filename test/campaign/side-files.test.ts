import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { MergeResult, PlanDocument } from '../../src/index.ts';
import { temporaryFolder, writeCheckpoint } from '../support/checkpoints.ts';
import { runShell } from '../support/faults-shell.ts';
import { BIN, runCli } from '../support/run-cli.ts';
import { systemTool } from '../support/system-tool.ts';

let folder: ReturnType<typeof temporaryFolder>;
const at = (...parts: string[]) => join(folder.path, ...parts);
const merge = (...args: string[]) => runCli(args, { cwd: folder.path });
const newest = (name: string) => at('run/checkpoint-3', name);

/** A run of three checkpoints, and beside it what is private. */
beforeEach(() => {
  folder = temporaryFolder();
  for (const step of [1, 2, 3]) {
    const sides = { 'tokenizer_config.json': '{}', 'trainer_state.json': `{"global_step":${step}}`, 'optimizer.pt': 'state' };
    writeCheckpoint(at('run', `checkpoint-${step}`), [[{ name: 'lm_head.weight', dtype: 'BF16', shape: [64, 3] }]], step, sides);
  }
  writeFileSync(at('secret'), '"SECRET"');
  writeFileSync(at('score'), '#!/bin/sh\ntouch evaluated\necho 1\n', { mode: 0o755 });
  writeFileSync(at('recipe.yaml'), 'inputs: run\noutputs: [{ path: out, select: { last: 2 } }]\n');
});
afterEach(() => folder.remove());

const EVALUATOR = ['--eval', './score', '--goal', 'maximize'];
/** Every command that makes a merge with side files, and where its merge is. */
const COMMANDS: Readonly<Record<string, readonly [words: readonly string[], output: string]>> = {
  average: [['average', 'run', '--last', '2', '-o', 'out'], 'out'],
  run: [['run', 'recipe.yaml'], 'out'],
  search: [['search', 'run', ...EVALUATOR, '--trials', '2', '-o', 'out'], 'out'],
  soup: [['soup', 'run', ...EVALUATOR, '-o', 'out'], 'out'],
  watch: [['watch', 'run', '--once', '--settle', '0', '--poll', '0.02', '-o', 'w'], 'w/merged-checkpoint-3'],
  'watch --pin': [['watch', 'run', '--once', '--settle', '0', '--poll', '0.02', '-o', 'w', '--pin', 'pins'], 'w/merged-checkpoint-3'],
};

describe.each(Object.keys(COMMANDS))('a link to outside, merged by %s', (command) => {
  const [words, output] = COMMANDS[command]!;

  it('is left out, and named where it is missed', async () => {
    for (const name of ['tokenizer.json', 'modeling_x.py', 'vocab.txt']) symlinkSync('../../secret', newest(name));
    const { code, stdout, stderr } = await merge(...words);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(`${stdout}${stderr}`).toContain(`tokenizer.json (to ${realpathSync(at('secret'))})`);
    expect(`${stdout}${stderr}`).toMatch(/W_LINK_LEFT.*may not load without .*tokenizer\.json.*--follow-links/);
    const names = readdirSync(at(output));
    expect(names).toContain('tokenizer_config.json');
    for (const name of ['tokenizer.json', 'modeling_x.py', 'vocab.txt']) expect(names).not.toContain(name);
    for (const name of ['merge_provenance.json', 'README.md']) {
      const text = readFileSync(at(output, name), 'utf8');
      expect(text).toContain('tokenizer.json');
      expect(text).not.toContain(folder.path);
    }
    expect(readFileSync(at(output, 'merge_provenance.json'), 'utf8')).toContain('W_LINK_LEFT');
    for (const name of names) expect(readFileSync(at(output, name), 'latin1')).not.toContain('SECRET');
  });

  it('is copied with --follow-links, and one within the run without', async () => {
    symlinkSync('../checkpoint-2/tokenizer_config.json', newest('special_tokens_map.json'));
    const { code, stderr } = await merge(...words);
    expect({ code, warned: stderr.includes('W_LINK_LEFT') }).toEqual({ code: 0, warned: false });
    expect(readFileSync(at(output, 'special_tokens_map.json'), 'utf8')).toBe('{}');
    for (const name of ['out', 'out.search', 'out.soup', 'w', 'pins']) rmSync(at(name), { recursive: true, force: true });
    symlinkSync('../../secret', newest('tokenizer.json'));
    expect((await merge(...words, '--follow-links')).code).toBe(0);
    expect(readFileSync(at(output, 'tokenizer.json'), 'utf8')).toBe('"SECRET"');
  });

  it.each(['config.json', 'tokenizer.json'])('that leads to nothing, as %s, ends it before any work', async (name) => {
    rmSync(newest(name), { force: true });
    symlinkSync('../../blobs/absent', newest(name));
    const { code, stderr } = await merge(...words);
    expect({ code, stderr }).toEqual({
      code: 3,
      stderr: expect.stringMatching(new RegExp(`error\\[E_NOT_READABLE\\].*checkpoint-3/${name}: a link that leads to nothing`)),
    });
    expect([existsSync(at(output)), existsSync(at('evaluated'))]).toEqual([false, false]);
    expect(readdirSync(folder.path).filter((entry) => entry.includes('partial'))).toEqual([]);
  });
});

describe('what publishing needs is found out while planning', () => {
  /** What is wrong with the newest checkpoint, and the words that are refused for it. */
  const FAULTS: Readonly<Record<string, readonly [make: () => void, says: string, options?: readonly string[]]>> = {
    'a FIFO as config.json': [() => fifo('config.json'), 'config.json: is a FIFO'],
    'a FIFO as tokenizer.json': [() => fifo('tokenizer.json'), 'tokenizer.json: is a FIFO'],
    'a folder as config.json': [() => instead('config.json', () => mkdirSync(newest('config.json'))), 'config.json: is a folder'],
    'a FIFO behind followed links': [
      () => {
        execFileSync(systemTool('mkfifo'), [join(folder.path, 'elsewhere')]);
        symlinkSync(join(folder.path, 'elsewhere'), newest('vocab.json'));
      },
      'vocab.json',
      ['--follow-links'],
    ],
    'a config of megabytes with a new dtype': [
      () => writeFileSync(newest('config.json'), `{"dtype":"bfloat16","x":"${'\\"'.repeat(2 ** 23)}"}`),
      'config.json has 16777',
      ['--dtype', 'F32', '--allow-configs'],
    ],
    'optimizer state that leads outside': [
      () => instead('optimizer.pt', () => symlinkSync('../../secret', newest('optimizer.pt'))),
      'E_NO_OPTIMIZER.*optimizer.pt leads to .*--follow-links',
      ['--for', 'resume', '--optimizer', 'newest'],
    ],
    'a scheduler that leads to nothing': [
      () => symlinkSync('gone', newest('scheduler.pt')),
      'scheduler.pt',
      ['--for', 'resume', '--optimizer', 'newest'],
    ],
    'optimizer state whose links run in a circle': [
      () => instead('optimizer', () => symlinkSync('.', newest('optimizer'))),
      'optimizer',
      ['--for', 'resume', '--optimizer', 'newest'],
    ],
  };
  const instead = (name: string, make: () => void): void => {
    rmSync(newest(name), { force: true });
    make();
  };
  const fifo = (name: string): void => instead(name, () => void execFileSync(systemTool('mkfifo'), [newest(name)]));

  it.each(Object.keys(FAULTS))('%s: --dry-run and the merge say the same, and nothing is left', async (fault) => {
    const [make, says, options = []] = FAULTS[fault]!;
    make();
    const before = readdirSync(folder.path);
    const words = ['average', 'run', '--last', '2', '-o', 'deep/out', ...options];
    const [dry, wet] = [await merge(...words, '--dry-run'), await merge(...words)];
    expect({ ...dry, stderr: '' }).toMatchObject({ code: 3, stdout: '' });
    expect(dry.stderr).toMatch(new RegExp(says));
    expect([wet.code, wet.stderr]).toEqual([dry.code, dry.stderr]);
    expect(readdirSync(folder.path)).toEqual(before);
  });

  it('a file of another user that may not be read', async ({ skip }) => {
    const root = process.getuid?.() === 0;
    const nobody = root ? 'exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"' : 'exec "$@"';
    if ((await runShell(nobody, ['--version'])).code !== 0) return skip(`another user cannot run ${BIN} here`);
    chmodSync(folder.path, 0o777);
    for (const name of ['config.json', 'tokenizer_config.json']) {
      chmodSync(newest(name), root ? 0o600 : 0o000);
      for (const words of [['plan'], ['average', '--dry-run'], ['average']]) {
        const { code, stderr } = await runShell(nobody, [...words, 'run', '--last', '2', '-o', 'out'], { cwd: folder.path });
        expect(code).toBe(3);
        expect(stderr).toMatch(new RegExp(`error\\[E_(NOT_|CONFIG_UN)READABLE\\]: .*${name}: permission denied`));
      }
      chmodSync(newest(name), 0o644);
    }
    expect(existsSync(at('out'))).toBe(false);
  });
});

describe('a plan', () => {
  it('lists side files, custom code, and what stays behind with the reason', async () => {
    symlinkSync('../../secret', newest('tokenizer.json'));
    writeFileSync(newest('modeling_x.py'), 'x = 1');
    const { stdout } = await merge('plan', 'run', '--last', '2', '-o', 'out');
    expect(stdout).toMatch(/^ {2}copies config\.json, tokenizer_config\.json$/m);
    expect(stdout).toMatch(/^ {2}custom code, copied and not run: modeling_x\.py$/m);
    expect(stdout).toContain(`  left out: tokenizer.json: leads outside the checkpoint and its run, to ${realpathSync(at('secret'))}\n`);
    const [output] = (JSON.parse((await merge('plan', 'run', '--last', '2', '-o', 'out', '--json')).stdout) as PlanDocument).outputs;
    expect(output!.sideFiles).toContainEqual({ name: 'modeling_x.py', bytes: 5, code: true });
    expect(output!.left).toEqual([
      { name: 'optimizer.pt', reason: 'training state', leadsTo: null },
      { name: 'tokenizer.json', reason: 'leads outside the checkpoint and its run', leadsTo: realpathSync(at('secret')) },
      { name: 'trainer_state.json', reason: 'training state', leadsTo: null },
    ]);
  });

  it('is of config.json and README, too, where they lead outside', async () => {
    writeFileSync(at('card'), '---\nlicense: secret-license\n---\n');
    rmSync(newest('config.json'));
    symlinkSync('../checkpoint-1/config.json', newest('config.json'));
    symlinkSync('../../card', newest('README.md'));
    const words = ['average', 'run', '--last', '2', '--dtype', 'F32', '-q', '-o'];
    const { code, stderr } = await merge(...words, 'out');
    expect([code, stderr]).toEqual([0, expect.stringContaining('README.md (to ')]);
    expect(readFileSync(at('out/config.json'), 'utf8')).toContain('float32');
    expect(readFileSync(at('out/README.md'), 'utf8')).not.toContain('secret-license');
    await merge(...words, 'followed', '--follow-links');
    expect(readFileSync(at('followed/README.md'), 'utf8')).toContain('secret-license');
    rmSync(newest('config.json'));
    writeFileSync(at('config'), readFileSync(at('run/checkpoint-1/config.json')));
    symlinkSync('../../config', newest('config.json'));
    const without = await merge('average', 'run', '--last', '2', '-o', 'without', '--json');
    const { warnings } = JSON.parse(without.stdout) as MergeResult;
    expect(warnings).toContainEqual({ code: 'W_LINK_LEFT', message: expect.stringContaining('may not load without config.json') });
    expect(existsSync(at('without/config.json'))).toBe(false);
  });
});

it('what is written about a merge tells nothing of where a link led, and is no markup of its name', async () => {
  mkdirSync(at('home of ann/ann'), { recursive: true });
  symlinkSync('../../home of ann/ann', newest('vocab.json'));
  symlinkSync('../../home of ann', newest('x`<b>.json'));
  expect((await merge('average', 'run', '--last', '2', '-o', 'out', '-q')).code).toBe(0);
  for (const name of ['README.md', 'merge_provenance.json']) expect(readFileSync(at('out', name), 'utf8')).not.toMatch(/\bann\b/);
  const card = readFileSync(at('out/README.md'), 'utf8');
  expect(card).toContain('`vocab.json`, one with an unusual name.');
  expect(card).not.toContain('<b>');
});

it('thousands of links make a warning, a plan and a card of a few lines', async () => {
  for (let i = 0; i < 2000; i++) symlinkSync('../../secret', newest(`${i}.json`));
  const { code, stdout, stderr } = await merge('average', 'run', '--last', '2', '-o', 'out', '--dry-run');
  expect([code, stdout.length < 3000, stderr.length < 3000]).toEqual([0, true, true]);
  expect(stdout).toContain('left out: 1,988 more links, all of them with --json\n');
  expect((await merge('average', 'run', '--last', '2', '-o', 'out', '-q')).code).toBe(0);
  expect(readFileSync(at('out/README.md'), 'utf8')).toContain(' and 1980 more.');
});

it('no recipe switches the protection off', async () => {
  writeFileSync(at('recipe.yaml'), 'inputs: run\nfollow-links: true\noutputs: [{ path: out, select: { last: 2 } }]\n');
  const { code, stderr } = await merge('run', 'recipe.yaml');
  expect([code, stderr]).toEqual([2, expect.stringContaining('follow-links')]);
});
