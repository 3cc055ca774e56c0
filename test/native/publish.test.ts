import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadBinding } from '../../src/merge/native/load.ts';
import { beginPublication } from '../../src/merge/output/publication.ts';
import { contentOf, errorOf, request, temporaryFolder } from '../support/publication.ts';

const CHILD = fileURLToPath(new URL('../support/publish-child.js', import.meta.url));
const hooks = { rename: loadBinding().rename.bind(loadBinding()) };

interface Run {
  readonly process: ChildProcess;
  /** Lines printed so far. */
  readonly stages: string[];
  reached(stage: string): Promise<void>;
  readonly ended: Promise<number | null>;
}

function run(output: string, text: string, ...flags: string[]): Run {
  const process_ = spawn(process.execPath, [CHILD, output, text, ...flags], { stdio: ['ignore', 'pipe', 'inherit'] });
  const stages: string[] = [];
  let notify = () => {};
  let text_ = '';
  process_.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text_ += chunk;
    stages.splice(0, stages.length, ...text_.split('\n').slice(0, -1));
    notify();
  });
  const ended = new Promise<number | null>((resolve) => {
    process_.once('close', (code) => {
      resolve(code);
      notify();
    });
  });
  const reached = async (stage: string) => {
    while (!stages.includes(stage)) {
      if (process_.exitCode !== null) throw new Error(`ended before ${stage}, after ${stages.join(', ')}`);
      await new Promise<void>((resolve) => {
        notify = resolve;
      });
    }
  };
  return { process: process_, stages, reached, ended };
}

const whole = (text: string) => Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`${i}.safetensors`, text]));

describe('a process that is killed', () => {
  test('after some units is resumed where it stopped', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'out');
    const first = run(output, 'aaaa', 'hold=journaled 2');
    await first.reached('journaled 2');
    const busy = run(output, 'aaaa', 'resume');
    expect(await busy.ended).toBe(75);
    expect(busy.stages).toEqual(['E_BUSY']);
    first.process.kill('SIGKILL');
    await first.ended;
    expect(existsSync(output)).toBe(false);

    const second = run(output, 'aaaa', 'resume');
    expect(await second.ended).toBe(0);
    expect(second.stages.slice(0, 5)).toEqual(['begun', 'skipped 0', 'skipped 1', 'skipped 2', 'journaled 3']);
    expect(contentOf(output)).toEqual(whole('aaaa'));
    expect(readdirSync(folder)).toEqual(['out']);
  });

  test('at any time while it replaces OUT leaves the old one or the new one, and a rerun cleans up', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'out');
    expect(await run(output, 'old').ended).toBe(0);
    for (const [i, wait] of [0, 1, 3, 6, 10, 15].entries()) {
      const before = contentOf(output);
      const text = `new ${i}`;
      const child = run(output, text, 'force');
      await child.reached('written');
      await new Promise((resolve) => setTimeout(resolve, wait));
      child.process.kill('SIGKILL');
      await child.ended;
      expect([before, whole(text)]).toContainEqual(contentOf(output));
    }
    expect(await run(output, 'last', 'force').ended).toBe(0);
    expect(contentOf(folder)).toEqual(Object.fromEntries(Object.entries(whole('last')).map(([name, text]) => [`out/${name}`, text])));
    expect(readdirSync(folder)).toEqual(['out']);
  });
});

test('of four processes that publish to one OUT at once, one does and three are told that it exists', async () => {
  const folder = temporaryFolder();
  const output = join(folder, 'out');
  const runs = ['a', 'b', 'c', 'd'].map((text) => run(output, text, 'wait'));
  await Promise.all(runs.map((r) => r.reached('written')));
  writeFileSync(`${output}.go`, '');
  const codes = await Promise.all(runs.map((r) => r.ended));
  expect([...codes].sort()).toEqual([0, 4, 4, 4]);
  expect(contentOf(output)).toEqual(whole('abcd'[codes.indexOf(0)]!));
  expect(readdirSync(folder).sort()).toEqual(['out', 'out.go']);
});

test('while OUT is replaced again and again another process never misses it', async () => {
  const output = join(temporaryFolder(), 'out');
  const put = async (text: string) => {
    const publication = await beginPublication(request(output, { force: true, unsafeNoSync: true }), hooks);
    writeFileSync(join(publication.dir, 'file.safetensors'), text);
    await publication.finish();
  };
  await put('first');
  const watch = `const fs = require('fs'); let seen = 0, missed = 0, on = true; process.stdin.on('data', () => { on = false; });
    process.stdout.write('ready'); (function look() { for (let i = 0; i < 200; i++) { fs.existsSync(process.argv[1]) ? seen++ : missed++; }
    on ? setImmediate(look) : (process.stdout.write(JSON.stringify({ seen, missed })), process.exit()); })()`;
  const watcher = spawn(process.execPath, ['-e', watch, output], { stdio: ['pipe', 'pipe', 'inherit'] });
  let printed = '';
  watcher.stdout.on('data', (chunk) => {
    printed += chunk;
  });
  await new Promise((resolve) => watcher.stdout.once('data', resolve));
  for (let i = 0; i < 40; i++) await put(`text ${i}`);
  watcher.stdin.write('end');
  await new Promise((resolve) => watcher.once('close', resolve));
  const { seen, missed } = JSON.parse(printed.replace('ready', '')) as { seen: number; missed: number };
  expect(seen).toBeGreaterThan(200);
  expect(missed).toBe(0);
});

describe('rename with flags', () => {
  test('refuses, exchanges and names the errno as Node does', async () => {
    const folder = temporaryFolder();
    const [a, b] = [join(folder, 'a'), join(folder, 'b')];
    for (const place of [a, b]) {
      mkdirSync(place);
      writeFileSync(join(place, basename(place)), '');
    }
    expect(() => hooks.rename(a, b, 'noreplace')).toThrow(expect.objectContaining({ errno: 'EEXIST' }));
    expect(() => hooks.rename(a, join(folder, 'c'), 'exchange')).toThrow(expect.objectContaining({ errno: 'ENOENT' }));
    hooks.rename(a, b, 'exchange');
    expect([readdirSync(a), readdirSync(b)]).toEqual([['b'], ['a']]);
    hooks.rename(a, join(folder, 'c'), 'noreplace');
    expect(readdirSync(folder).sort()).toEqual(['b', 'c']);
  });

  test('over an OUT that appeared meanwhile is E_OUTPUT_EXISTS, and what appeared is untouched', async () => {
    const folder = temporaryFolder();
    for (const kind of ['folder', 'file'] as const) {
      const output = join(folder, kind);
      const publication = await beginPublication(request(output, { kind }), hooks);
      writeFileSync(join(publication.dir, kind), 'ours');
      writeFileSync(output, 'theirs');
      expect((await errorOf(publication.finish())).code).toBe('E_OUTPUT_EXISTS');
      await publication.abandon({ keep: false });
    }
    expect(contentOf(folder)).toEqual({ folder: 'theirs', file: 'theirs' });
  });
});
