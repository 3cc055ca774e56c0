import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/checkpoints.ts';
import { BIN, runCli } from '../support/run-cli.ts';
import { Trainer, valuesOf } from '../support/watching.ts';

const temporary = temporaryFolder();
const trainer = new Trainer(1);
afterAll(() => {
  trainer.end();
  temporary.remove();
});
let base: string;
let count = 0;
const QUICK = ['--poll', '0.02', '--settle', '0.05', '-o', 'merges'];
const ONCE = ['watch', 'run', '--once', ...QUICK];

beforeEach(() => {
  base = join(temporary.path, String(++count));
  mkdirSync(join(base, 'run'), { recursive: true });
  trainer.run = join(base, 'run');
});
const output = () => join(base, 'merges');
const _leftovers = () => readdirSync(output()).filter((name) => name.startsWith('.') && name !== '.merge-watch');

describe('merge watch', () => {
  it('prints a line for each merge, or its path alone, or one document', async () => {
    await trainer.does(['shards', 1], ['shards', 2]);
    const lines = await runCli(ONCE, { cwd: base });
    expect(lines).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^merged 2 checkpoints into merges\/merged-checkpoint-2 in \S+ s\n$/),
    });
    expect(lines.stderr).toContain('watching run, merges go to merges\n');
    await trainer.does(['shards', 3], ['shards', 4]);
    const paths = await runCli([...ONCE, '-q'], { cwd: base });
    expect(paths).toMatchObject({ code: 0, stdout: 'merges/merged-checkpoint-3\nmerges/merged-checkpoint-4\n', stderr: '' });
    const nothing = await runCli([...ONCE, '--json'], { cwd: base });
    expect(nothing.code).toBe(0);
    const looked = { checkpoints: 4, newest: 'checkpoint-4', unusable: 0 };
    expect(JSON.parse(nothing.stdout)).toEqual({ schema: 'ckpt-merge/watch', version: 1, merges: [], failed: [], looked });
    expect(nothing.stderr).toContain(
      'nothing is due: the run has 4 complete checkpoints up to checkpoint-4, and no window of them is left to merge: each is merged once, with the options of then, and other options are for what comes (--output with another folder merges them anew)\n',
    );
    await trainer.does(['shards', 5]);
    const document = await runCli([...ONCE, '--json', '--window', '2', '--method', 'wma'], { cwd: base });
    expect(JSON.parse(document.stdout).merges).toMatchObject([
      { output: 'merged-checkpoint-5', members: [{ step: 4 }, { step: 5, weight: 2 / 3 }] },
    ]);
    expect(existsSync(join(base, 'merges', 'merged-checkpoint-2'))).toBe(false);
  });

  it('ends with the exit code of a round that failed, under --once', async () => {
    await trainer.does(['shards', 1], ['infinite', 2]);
    const { code, stderr, stdout } = await runCli([...ONCE, '--fail-nonfinite'], { cwd: base });
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    expect(stderr).toMatch(/^error\[E_NONFINITE\]: .*checkpoint-2/m);
  });

  it('of a folder that is watched ends with 75, naming the process', async () => {
    await trainer.does(['shards', 1], ['shards', 2]);
    const go = join(base, 'go');
    const first = spawn(process.execPath, [BIN, 'watch', 'run', ...QUICK, '--hook', `touch '${go}'`], { cwd: base, stdio: 'ignore' });
    while (!existsSync(go)) await wait(10);
    const second = await runCli(ONCE, { cwd: base });
    await killed(first);
    expect(second).toMatchObject({ code: 75, stdout: '' });
    expect(second.stderr).toContain(`error[E_BUSY]: merges is being watched already, by process ${first.pid} on `);
  });

  it('serves its page while it lives, to nobody else', async () => {
    await trainer.does(['shards', 1], ['shards', 2]);
    const words = ['watch', 'run', ...QUICK, '--eval', 'echo 1; : {model}', '--goal', 'minimize', '--serve', '127.0.0.1:0'];
    const child = spawn(process.execPath, [BIN, ...words], { cwd: base, stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr!.on('data', (chunk) => {
      said += chunk;
    });
    while (!/merged .*single/.test(said)) await wait(20);
    const [, url] = /(http:\/\/127\.0\.0\.1:\d+\/)/.exec(said)!;
    // It is written soon after, and at most once a second.
    let page = '';
    while (!page.includes('</html>')) page = await (await fetch(`${url}live.html`)).text();
    expect(page).toContain('Merged against single, while the run goes on');
    expect((await fetch(`${url}../run/checkpoint-1/config.json`)).status).toBe(404);
    await killed(child);
    const idle = await runCli(['watch', 'run', ...QUICK, '--once', '--serve', '127.0.0.1:0'], { cwd: base });
    expect(idle).toMatchObject({ code: 2, stderr: expect.stringContaining('--serve shows the page of scores, and nothing is scored') });
  });

  it('treats tensors by policy, and prints what that did, once as long as it is the same', async () => {
    for (const step of [1, 2]) await trainer.does(['shards', step]);
    const policy = ['--policy', 'name=*:use=oldest', '--keep', 'all', '--window', '2'];
    const first = await runCli([...ONCE, ...policy], { cwd: base });
    expect(first.code).toBe(0);
    expect(first.stderr).toMatch(
      /^ {2}role +tensors +size +treatment +policy\n {2}\w+ +\d+ +\S+ k?B {2}oldest, step 1 {2}name=\*:use=oldest\n/m,
    );
    await trainer.does(['shards', 3], ['shards', 4]);
    const same = ['--policy', 'name=*:method=wma', '--keep', 'all', '--window', '2'];
    const next = await runCli([...ONCE, ...same], { cwd: base });
    expect(next.stderr.match(/treatment/g)).toHaveLength(1);
    expect([2, 3, 4].map((step) => valuesOf(join(output(), `merged-checkpoint-${step}`)))).toEqual([
      [1],
      [Math.fround(8 / 3)],
      [Math.fround(11 / 3)],
    ]);
  });

  it('writes events as lines of JSON', async () => {
    await trainer.does(['shards', 1], ['shards', 2]);
    const { stderr } = await runCli([...ONCE, '--progress', 'json'], { cwd: base });
    const types = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).type);
    expect(types[0]).toBe('started');
    expect(types).toEqual(expect.arrayContaining(['round', 'merge', 'merged']));
  });

  it('leaves the provenance and the state free of absolute paths', async () => {
    await trainer.does(['shards', 1], ['shards', 2]);
    await runCli(ONCE, { cwd: base });
    for (const file of ['history.jsonl', '.merge-watch/state.json', 'merged-checkpoint-2/merge_provenance.json']) {
      expect(readFileSync(join(output(), file), 'utf8')).not.toContain(base);
    }
  });
});

function killed(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    child.on('exit', () => resolve());
    child.kill('SIGKILL');
  });
}
