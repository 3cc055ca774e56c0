import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { constants } from 'node:os';
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { errnoMeaning, errnoOf, errnoText } from '../../../src/base/disk/errno.ts';
import { toMergeError } from '../../../src/base/disk/io-error.ts';
import { writeWhole } from '../../../src/base/disk/write-whole.ts';
import { readWhole } from '../../../src/base/store/store.ts';
import { describeFailure } from '../../../src/merge/engine/failure.ts';
import { asFailure } from '../../../src/render/error-text.ts';
import { temporaryFolder } from '../../support/publication.ts';

/** What node:fs throws for an errno: a sentence for a `code` where libuv has no name for it. */
function nodeError(number: number, syscall = 'open'): Error {
  const known = getSystemErrorMap().get(-number);
  const said = known === undefined ? `Unknown system error -${number}` : known[0];
  return Object.assign(new Error(`${said}: ${known?.[1] ?? said}, ${syscall} '/x'`), { errno: -number, code: said, syscall });
}

/** What the addon throws for an errno that its own table does not name. */
const addonError = (number: number) =>
  Object.assign(new Error(`cannot open the input: E${number} (words)`), { errno: `E${number}`, code: 'E_IO', syscall: 'open' });

const LINUX = process.platform === 'linux';

/** The numbers of Linux. An errno that is not here is E_IO on both sides. */
const DESIGNED: readonly (readonly [codes: string, numbers: readonly (readonly [number, string])[]])[] = [
  [
    'E_NO_SPACE E_NO_SPACE',
    [
      [28, 'ENOSPC'],
      [122, 'EDQUOT'],
      [87, 'EUSERS'],
      [27, 'EFBIG'],
    ],
  ],
  [
    'E_NOT_READABLE E_READ_ONLY',
    [
      [13, 'EACCES'],
      [1, 'EPERM'],
      [30, 'EROFS'],
      [126, 'ENOKEY'],
      [127, 'EKEYEXPIRED'],
      [128, 'EKEYREVOKED'],
      [129, 'EKEYREJECTED'],
    ],
  ],
  ['E_NOT_FOUND E_IO', [[2, 'ENOENT']]],
  [
    'E_NOT_FOUND E_OUTPUT_KIND',
    [
      [20, 'ENOTDIR'],
      [36, 'ENAMETOOLONG'],
    ],
  ],
  [
    'E_NOT_READABLE E_OUTPUT_KIND',
    [
      [21, 'EISDIR'],
      [40, 'ELOOP'],
      [6, 'ENXIO'],
      [15, 'ENOTBLK'],
      [31, 'EMLINK'],
    ],
  ],
  [
    'E_TOO_MANY_FILES E_TOO_MANY_FILES',
    [
      [24, 'EMFILE'],
      [23, 'ENFILE'],
    ],
  ],
  ['E_NO_MEMORY E_NO_MEMORY', [[12, 'ENOMEM']]],
  [
    'E_TEMPORARY E_TEMPORARY',
    [
      [116, 'ESTALE'],
      [521, 'EBADHANDLE'],
      [528, 'EJUKEBOX'],
      [110, 'ETIMEDOUT'],
      [62, 'ETIME'],
      [11, 'EAGAIN'],
      [16, 'EBUSY'],
      [26, 'ETXTBSY'],
      [4, 'EINTR'],
      [85, 'ERESTART'],
      [512, 'ERESTARTSYS'],
      [37, 'ENOLCK'],
      [64, 'ENONET'],
      [100, 'ENETDOWN'],
      [101, 'ENETUNREACH'],
      [102, 'ENETRESET'],
      [103, 'ECONNABORTED'],
      [104, 'ECONNRESET'],
      [111, 'ECONNREFUSED'],
      [112, 'EHOSTDOWN'],
      [113, 'EHOSTUNREACH'],
    ],
  ],
  [
    'E_IO E_IO',
    [
      [5, 'EIO'],
      [121, 'EREMOTEIO'],
      [117, 'EUCLEAN'],
      [74, 'EBADMSG'],
      [84, 'EILSEQ'],
      [61, 'ENODATA'],
      [133, 'EHWPOISON'],
      [526, 'ESERVERFAULT'],
      [67, 'ENOLINK'],
      [70, 'ECOMM'],
      [19, 'ENODEV'],
      [123, 'ENOMEDIUM'],
      [124, 'EMEDIUMTYPE'],
      [107, 'ENOTCONN'],
      [108, 'ESHUTDOWN'],
      [77, 'EBADFD'],
      [72, 'EMULTIHOP'],
      [18, 'EXDEV'],
      [200, 'E200'],
    ],
  ],
];

const ROWS = DESIGNED.flatMap(([codes, numbers]) => {
  const [input, output] = codes.split(' ') as [string, string];
  return numbers.map(([number, name]) => ({ number, name, input, output }));
});

describe.runIf(LINUX)('every errno', () => {
  test.each(ROWS)('$number is $name: $input of an input, $output of an output', ({ number, name, input, output }) => {
    for (const error of [nodeError(number), addonError(number)]) {
      expect(errnoOf(error)).toBe(name);
      for (const [side, code] of [
        ['input', input],
        ['output', output],
      ] as const) {
        const meant = toMergeError(error, { action: 'use', file: '/x', side });
        expect([meant.code, meant.details.errno]).toEqual([code, name]);
        expect(meant.message).toContain(`(${name} from open)`);
        expect(meant.message).not.toContain('Unknown');
      }
      expect(asFailure(error)).toMatchObject({ code: output, message: expect.stringContaining(name) });
    }
    const addon = describeFailure(addonError(number), { input: '/x' });
    expect(addon).toMatchObject({ code: input, message: `cannot open the input: ${name} (words) (/x)`, details: { errno: name } });
  });

  test('of 1 to 1000 is a code of the operating system, with a name and words where Linux has them', () => {
    const named = new Set(ROWS.map(({ name }) => name));
    for (let number = 1; number <= 1000; number++) {
      const error = nodeError(number);
      const name = errnoOf(error)!;
      expect(name).toMatch(/^E[A-Z0-9]+$/);
      if (!/^E\d/.test(name)) expect(errnoText(name), name).toBeDefined();
      for (const side of ['input', 'output'] as const) {
        const { code } = toMergeError(error, { action: 'use', file: '/x', side });
        expect(code).not.toBe('E_INTERNAL');
        if (!named.has(name)) expect(code, name).toBe('E_IO');
      }
    }
  });

  test('has the number that this system says', () => {
    for (const [name, number] of Object.entries(constants.errno)) {
      const found = errnoOf(nodeError(number))!;
      expect(errnoMeaning(found)).toEqual(errnoMeaning(name === 'EWOULDBLOCK' ? 'EAGAIN' : name));
    }
  });
});

describe.runIf(LINUX)('where the operating system fails', () => {
  const { open, stat } = fs.promises;
  afterEach(() => {
    Object.assign(fs.promises, { open, stat });
    syncBuiltinESMExports();
  });
  const failing = (calls: object) => {
    Object.assign(fs.promises, calls);
    syncBuiltinESMExports();
  };

  test.each(ROWS)('with $name, reading is $input and writing is $output', async ({ number, input, output }) => {
    const folder = temporaryFolder();
    const path = join(folder, 'file');
    fs.writeFileSync(path, 'text');
    for (const call of ['open', 'stat'] as const) {
      failing({ [call]: async () => Promise.reject(nodeError(number, call)) });
      await expect(readWhole(path, 100)).rejects.toMatchObject({ code: input, details: { file: path } });
      failing({ open, stat });
    }
    failing({ open: async () => Promise.reject(nodeError(number)) });
    await expect(writeWhole(path, [Buffer.from('new')])).rejects.toMatchObject({ code: output, details: { file: path } });
    failing({ open });
    expect(fs.readFileSync(path, 'utf8')).toBe('text');
  });
});

test('a name with a NUL byte is not there, and no defect', async () => {
  await expect(readWhole('/x\0y', 100)).rejects.toMatchObject({ code: 'E_NOT_FOUND' });
  await expect(writeWhole('/tmp/x\0y', [])).rejects.toMatchObject({ code: 'E_OUTPUT_KIND' });
});
