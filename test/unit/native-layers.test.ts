import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, it } from 'vitest';

/**
 * The folders of native/ from the ground up, as layers.test.ts has those of src/: a file may include from its
 * own folder and from what stands before it. Under ops/ each folder is an operation, and none includes
 * another's. Tests and bench stand above all and include whatever they need.
 */
const FOLDERS = ['kernels', 'cpu', 'io', 'engine', 'ops', 'napi'];
const ABOVE = ['test', 'bench'];

const native = join(import.meta.dirname, '../../native');
const files = readdirSync(native, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(cpp|h)$/.test(name));
const text = (file: string) => readFileSync(join(native, file), 'utf8');
const includesOf = (file: string) =>
  [...text(file).matchAll(/^ *# *include "([^"]+)"/gm)].map((match) => normalize(join(dirname(file), match[1]!)));
const folder = (file: string) => file.split('/')[0]!;
const operation = (file: string) => (folder(file) === 'ops' ? file.split('/')[1] : undefined);

it('every file stands in a folder of the house', () => {
  expect(files.filter((file) => ![...FOLDERS, ...ABOVE].includes(folder(file)))).toEqual([]);
  expect(files.filter((file) => folder(file) === 'ops' && file.split('/').length !== 3)).toEqual([]);
});

it('includes go down, or stay in their folder', () => {
  const up = files
    .filter((file) => !ABOVE.includes(folder(file)))
    .flatMap((file) => includesOf(file).map((other) => [file, other] as const))
    .filter(([file, other]) => !files.includes(other) || !(FOLDERS.indexOf(folder(other)) <= FOLDERS.indexOf(folder(file))))
    .map((pair) => pair.join(' -> '));
  expect(up).toEqual([]);
});

it('operations do not include each other', () => {
  const across = files
    .flatMap((file) => includesOf(file).map((other) => [file, other] as const))
    .filter(([file, other]) => operation(file) !== undefined && operation(other) !== undefined && operation(file) !== operation(other))
    .map((pair) => pair.join(' -> '));
  expect(across).toEqual([]);
});

it('only native/napi knows Node', () => {
  expect(files.filter((file) => folder(file) !== 'napi' && text(file).includes('<napi.h>'))).toEqual([]);
});
