import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { withTokens } from '../../../src/checkpoints/run/token-source.ts';
import type { Run } from '../../../src/checkpoints/run/types.ts';
import { readDecayFactors, readRateCurve } from '../../../src/recipe/schedule/decay-files.ts';
import { mergeError, temporaryFolder } from '../../support/safetensors.ts';

const KEY = 'b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ';
/** What a recipe from a stranger may name in the place of a list of numbers. */
const SECRETS: Readonly<Record<string, readonly [text: string, secrets: readonly string[]]>> = {
  'a private key': [`-----BEGIN OPENSSH PRIVATE KEY-----\n${KEY}\nQyNTUxOQ==,AAAA\n`, [KEY, 'OPENSSH', 'QyNT', 'AAAA']],
  'a file of passwords': ['root:x:0:0\nadmin,hunter2\nadmin,correct horse\n', ['root', 'hunter2', 'horse', 'admin']],
  'an environment': ['API_KEY=sk-0123456789abcdef\nTOKEN=ghp_AbCd\n', ['API_KEY', 'sk-01', 'ghp']],
  'a document': ['{"token": "s3cr3t", "n": [0.5]}', ['s3cr3t']],
  'one long word': [`${'9'.repeat(30)}secret`, ['secret', '9999']],
  'escape sequences': ['\u001b]0;owned\u0007,1', ['owned', '\u001b']],
};

const READERS: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
  'decay-file': (path) => readDecayFactors(path, 3),
  'lr-curve': readRateCurve,
  'tokens-file': (path) => withTokens({ checkpoints: [] } as unknown as Run, { tokensFile: path }),
};

it.each(Object.keys(SECRETS).flatMap((what) => Object.keys(READERS).map((reader) => [reader, what])))(
  'as a %s, %s is refused by its lines and not shown',
  async (reader, what) => {
    const [text, secrets] = SECRETS[what]!;
    const path = join(temporaryFolder(), 'list');
    writeFileSync(path, text);
    const error = await mergeError(() => READERS[reader]!(path));
    const said = JSON.stringify([error.message, error.help, error.details]).replaceAll(path, '');
    for (const secret of secrets) expect(said).not.toContain(secret);
    expect(said).toContain('line 1');
  },
);

it('what is nearly a number is shown', async () => {
  const path = join(temporaryFolder(), 'list');
  writeFileSync(path, '0.75\n0,5x\nnan 1.2.3\n');
  const { details } = await mergeError(() => readDecayFactors(path, 3));
  const found = details.conflicts!.map(({ message }) => message.slice(path.length + 2));
  expect(found).toEqual(
    expect.arrayContaining(['line 2: "5x" is no number', 'line 3: "nan" is no number', 'line 3: "1.2.3" is no number']),
  );
});
