import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { BIN, runCli } from '../support/run-cli.ts';

const RUN = fileURLToPath(new URL('../../demo/runs/dense', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Starts a program that starts a watch, and tells its number. @param of what the watch takes for its parent */
async function watched(name: string, of: string): Promise<{ readonly kill: () => void; readonly pid: number }> {
  const words = [BIN, 'watch', RUN, '-o', join(folder, name), '--settle', '0'];
  const start = `const { spawn } = require('node:child_process');
    const child = spawn(process.execPath, ${JSON.stringify(words)}, { env: { ...process.env, MERGE_PARENT: ${of} }, stdio: 'ignore' });
    console.log(child.pid);
    setInterval(() => {}, 1000);`;
  const parent = spawn(process.execPath, ['-e', start], { stdio: ['ignore', 'pipe', 'ignore'] });
  const pid = await new Promise<number>((resolve) => parent.stdout.once('data', (text) => resolve(Number(text))));
  while (!existsSync(join(folder, name, 'history.jsonl'))) await sleep(50);
  return { kill: () => parent.kill('SIGKILL'), pid };
}

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

it('ends with the process that started it, and cleans up', async () => {
  const { kill, pid } = await watched('ends', 'process.pid');
  await sleep(800);
  expect(isThere(pid)).toBe(true);
  kill();
  while (isThere(pid)) await sleep(50);
  expect(readdirSync(join(folder, 'ends')).filter((name) => name.startsWith('.') && name !== '.merge-watch')).toEqual([]);
  // Nobody holds the folder any more.
  expect((await runCli(['watch', RUN, '-o', join(folder, 'ends'), '--settle', '0', '--once'])).code).toBe(0);
});

it('ends with a process that started it by way of another', async () => {
  const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  const { kill, pid } = await watched('other', `'${other.pid}'`);
  await sleep(800);
  expect(isThere(pid)).toBe(true);
  other.kill('SIGKILL');
  while (isThere(pid)) await sleep(50);
  kill();
});

it('stays where the variable names no process', async () => {
  const { kill, pid } = await watched('stays', "'x'");
  kill();
  await sleep(1200);
  expect(isThere(pid)).toBe(true);
  process.kill(pid, 'SIGTERM');
  while (isThere(pid)) await sleep(50);
});
