import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { htmlPage } from '../../src/render/html/page.ts';
import { serveFolder } from '../../src/upkeep/serve/serve.ts';
import { runHere } from '../support/fake-terminal.ts';
import { runCli } from '../support/run-cli.ts';

const TOKEN = 'correct-horse-battery-staple';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'serve-cli-'));
  writeFileSync(join(root, 'report.html'), htmlPage({ title: 'x', summary: { headline: 'fine', tone: 'good' }, sections: [] }));
  writeFileSync(join(root, 'token'), 'short', { mode: 0o600 });
});
afterAll(() => rmSync(root, { recursive: true }));

it('prints where it serves, and ends by a signal with its code', async () => {
  const { code, stdout, stderr } = await runCli(['serve', root], { signalAfter: [{ pattern: /until Ctrl-C/, signal: 'SIGINT' }] });
  expect(stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\n$/);
  expect(stderr).toContain(`serving ${root} at ${stdout.trim()} until Ctrl-C`);
  expect(code).toBe(130);
});

it('says of a token that there is one, and never which', async () => {
  const { code, stdout, stderr } = await runCli(['serve', root, '--listen', 'localhost:0'], {
    env: { MERGE_SERVE_TOKEN: TOKEN },
    signalAfter: [{ pattern: /until Ctrl-C/, signal: 'SIGTERM' }],
  });
  expect(code).toBe(143);
  expect(stderr).toContain('with ?token=… at the first visit');
  expect(stdout + stderr).not.toContain(TOKEN);
});

it.each([
  ['another address without a token', ['--listen', '0.0.0.0:0'], 2, 'E_OPTION', 'no token is given'],
  ['what is no address', ['--listen', 'here'], 2, 'E_OPTION', "'here' is no address to listen at"],
  ['an address twice', ['--listen', '0', '--listen', '1'], 2, 'E_USAGE', 'given twice'],
  ['a token file that is not there', ['--serve-token-file', 'nothing'], 3, 'E_NOT_FOUND', 'nothing'],
  ['a token that is none', ['--serve-token-file', 'token'], 2, 'E_OPTION', 'token: holds no token'],
])('refuses %s', async (_, options, exit, code, text) => {
  const result = await runHere(['serve', '.', ...options], root);
  expect(result.code).toBe(exit);
  expect(result.stderr).toContain(`error[${code}]`);
  expect(result.stderr).toContain(text);
});

it('refuses what is no folder, and a port that is taken', async () => {
  expect(await runHere(['serve', 'report.html'], root)).toMatchObject({ code: 3, stderr: expect.stringContaining('is no folder') });
  expect(await runHere(['serve', 'nothing'], root)).toMatchObject({ code: 3, stderr: expect.stringContaining('E_NOT_FOUND') });
  const { url, close } = await serveFolder({ folder: root });
  const taken = await runHere(['serve', '.', '--listen', new URL(url).host], root);
  await close();
  expect(taken).toMatchObject({ code: 1, stderr: expect.stringContaining('another program listens there') });
});

it.each([
  ['search', ['search', 'run', '--eval', 'true', '-o', 'best']],
  ['soup', ['soup', 'run', '--eval', 'true', '-o', 'best']],
  ['forecast', ['forecast', 'run', '--eval', 'true']],
  ['grid', ['grid', 'run', '--windows', '2ckpt', '--eval', 'true', '-o', 'grid']],
])('a %s that cannot be served does not begin', async (_, words) => {
  expect(await runHere([...words, '--serve', '0.0.0.0:0'], root)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('no token is given'),
  });
  expect(await runHere([...words, '--serve-token-file', 'token'], root)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--serve-token-file is about a server'),
  });
});

it('a grid that nothing scores has no page to serve', async () => {
  const { code, stderr } = await runHere(['grid', 'run', '--windows', '2ckpt', '-o', 'grid', '--serve', '0'], root);
  expect([code, stderr]).toEqual([2, expect.stringContaining('--serve is about an evaluator, and none is given')]);
});
