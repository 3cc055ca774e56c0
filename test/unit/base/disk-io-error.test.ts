import { mkdirSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { errnoOf } from '../../../src/base/disk/errno.ts';
import { toMergeError } from '../../../src/base/disk/io-error.ts';
import { MergeError } from '../../../src/base/errors.ts';
import { temporaryFolder } from '../../support/publication.ts';

const context = (side: 'input' | 'output') => ({ action: 'open', file: 'some/file', side });

test.each([
  ['ENOSPC', 'E_NO_SPACE', 'E_NO_SPACE', 6],
  ['EDQUOT', 'E_NO_SPACE', 'E_NO_SPACE', 6],
  ['EFBIG', 'E_NO_SPACE', 'E_NO_SPACE', 6],
  ['EACCES', 'E_NOT_READABLE', 'E_READ_ONLY', 1],
  ['EPERM', 'E_NOT_READABLE', 'E_READ_ONLY', 1],
  ['EROFS', 'E_NOT_READABLE', 'E_READ_ONLY', 1],
  ['ENOENT', 'E_NOT_FOUND', 'E_IO', 1],
  ['ENOTDIR', 'E_NOT_FOUND', 'E_OUTPUT_KIND', 2],
  ['EMFILE', 'E_TOO_MANY_FILES', 'E_TOO_MANY_FILES', 1],
  ['ENFILE', 'E_TOO_MANY_FILES', 'E_TOO_MANY_FILES', 1],
  ['ENOMEM', 'E_NO_MEMORY', 'E_NO_MEMORY', 6],
  ['EIO', 'E_IO', 'E_IO', 1],
  ['ESTALE', 'E_TEMPORARY', 'E_TEMPORARY', 75],
  ['EHWPOISON', 'E_IO', 'E_IO', 1],
])('%s is %s for an input and %s for an output', (errno, input, output, exit) => {
  const node = Object.assign(new Error(`${errno}: x`), { errno: -1, code: errno, syscall: 'open' });
  const native = Object.assign(new Error('x'), { errno, code: 'E_IO', syscall: 'open' });
  for (const error of [node, native]) {
    expect(toMergeError(error, context('input')).code).toBe(input);
    const result = toMergeError(error, context('output'));
    expect([result.code, result.exitCode, result.cause]).toEqual([output, exit, error]);
    expect(result.details).toEqual({ file: 'some/file', errno, syscall: 'open' });
    expect(result.message).toMatch(new RegExp(`^could not open some/file: .+ \\(${errno} from open\\)$`));
  }
});

test('takes what the operating system really throws', async () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'd'));
  writeFileSync(join(folder, 'f'), '');
  const codes = await Promise.all(
    [
      fs.readFile(join(folder, 'none')),
      fs.readFile(join(folder, 'd')),
      fs.readFile(join(folder, 'f/x')),
      fs.readFile(join(folder, 'n'.repeat(300))),
    ].map((p) =>
      p.then(
        () => 'read',
        (error: unknown) => toMergeError(error, context('input')).code,
      ),
    ),
  );
  expect(codes).toEqual(['E_NOT_FOUND', 'E_NOT_READABLE', 'E_NOT_FOUND', 'E_NOT_FOUND']);
});

test('passes a MergeError through and calls anything else a defect', () => {
  const own = new MergeError('E_BUSY', 'busy');
  expect(toMergeError(own, context('input'))).toBe(own);
  for (const thrown of [new TypeError('x is not a function'), 'text', undefined]) {
    const error = toMergeError(thrown, context('input'));
    expect([error.code, error.cause]).toEqual(['E_INTERNAL', thrown]);
  }
  expect([
    errnoOf(null),
    errnoOf({ errno: -2, code: 'ENOENT' }),
    errnoOf(Object.assign(new Error(), { code: 'ERR_INVALID_ARG_TYPE' })),
  ]).toEqual([undefined, undefined, undefined]);
});
