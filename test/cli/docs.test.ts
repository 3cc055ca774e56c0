import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runCli } from '../support/run-cli.ts';

it('docs/cli.md and docs/troubleshooting.md are what the command tree and the table of codes say', async () => {
  const script = fileURLToPath(new URL('../../scripts/generate-cli-docs.js', import.meta.url));
  expect(await runCli(['--check'], { script })).toMatchObject({ code: 0, stderr: '' });
});

it('the functions of python/ are what the command tree says', async () => {
  const script = fileURLToPath(new URL('../../scripts/generate-python.js', import.meta.url));
  expect(await runCli(['--check'], { script })).toMatchObject({ code: 0, stderr: '' });
});
