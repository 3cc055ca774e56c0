import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { MergeError } from '../../src/base/errors.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import { type AverageOptions, average } from '../../src/merge/average.ts';
import { convert } from '../../src/merge/convert.ts';
import { floatsOf, readOracle, unpackGolden } from '../support/containers.ts';
import { dictOf, op, pickle, type TensorFields, tensor, torchFiles, zipOf } from '../support/torch-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

let made = 0;
const fresh = (name: string): string => {
  // No numbers: they would be steps.
  const place = join(
    folder,
    `${made++}`.replace(/\d/g, (digit) => 'abcdefghij'[Number(digit)]!),
  );
  mkdirSync(place);
  return join(place, name);
};

const floats = (...values: readonly number[]): Buffer => Buffer.from(Float32Array.from(values).buffer);
const count = (length: number, from: number): number[] => Array.from({ length }, (_, i) => from + i);

/** A file of torch.save. @param storages by key, float32 */
function saved(
  tensors: Readonly<Record<string, TensorFields>>,
  storages: Readonly<Record<string, readonly number[]>>,
  name = 'm.pt',
): string {
  const path = fresh(name);
  const described = Object.fromEntries(Object.entries(tensors).map(([key, fields]) => [key, tensor(fields)]));
  const bytes = Object.fromEntries(Object.entries(storages).map(([key, values]) => [key, floats(...values)]));
  writeFileSync(path, zipOf(torchFiles(pickle(dictOf(described)), bytes)));
  return path;
}

/** A tensor of float32 in a storage of so many elements. */
const view = (key: string, numel: number, shape: readonly number[], stride: readonly number[], offset = 0): TensorFields => {
  return { key: op.text(key), numel, shape, stride, offset };
};
const plain = (key: string, length: number): TensorFields => view(key, length, [length], [1]);

/** What a merge of two says against it, and nothing is left. */
async function refusal(inputs: readonly string[], options: Partial<AverageOptions> = {}): Promise<{ code: string; message: string }> {
  const output = fresh('out.pt');
  const error = await average({ inputs, output, allowUnknown: true, format: 'torch', ...options }).then(
    () => null,
    (cause: unknown) => cause,
  );
  if (!(error instanceof MergeError)) throw new Error(`no refusal, but ${error}`);
  return { code: error.code, message: error.message };
}

const tied = (from: number): string => saved({ a: plain('0', 4), b: plain('0', 4) }, { 0: count(4, from) });
const apart = (x: number, y: number): string => saved({ a: plain('0', 4), b: plain('1', 4) }, { 0: count(4, x), 1: count(4, y) });

it('what is tied in the newest and not in another is refused by both names, unless it is equal there', async () => {
  expect(await refusal([apart(0, 9), tied(1)])).toEqual({
    code: 'E_TORCH_FILE',
    message: expect.stringMatching(/m\.pt: b shares its bytes with a, and in .*m\.pt the two differ/),
  });
  const output = fresh('out.pt');
  await average({ inputs: [apart(0, 0), tied(2)], output, allowUnknown: true, format: 'torch' });
  expect((await openCheckpoint(output)).shards[0]!.tensors.names).toEqual(['a', 'b']);
});

it('what is apart in the newest stays so', async () => {
  const output = fresh('out.pt');
  await average({ inputs: [tied(2), apart(0, 4)], output, allowUnknown: true, format: 'torch' });
  const bytes = readFileSync(output);
  expect([bytes.includes(floats(...count(4, 1))), bytes.includes(floats(...count(4, 3)))]).toEqual([true, true]);
});

it.each<readonly [what: string, newest: string, older: string, options: Partial<AverageOptions>, said: RegExp]>([
  [
    'another policy for one of two names',
    tied(1),
    tied(0),
    { policies: [{ name: 'b', use: 'newest' }] },
    /b shares its bytes with a, and the policies treat them differently/,
  ],
  [
    'another dtype for one of two names',
    tied(1),
    tied(0),
    { policies: [{ name: 'b', dtype: 'BF16', use: 'average' }] },
    /b shares its storage with a, and would have another dtype/,
  ],
  [
    'views that overlap',
    saved({ a: view('0', 6, [4], [1]), b: view('0', 6, [4], [1], 2) }, { 0: count(6, 0) }),
    saved({ a: view('0', 6, [4], [1]), b: view('0', 6, [4], [1], 2) }, { 0: count(6, 1) }),
    {},
    /b overlaps a, and neither holds the other: save them with \.clone/,
  ],
  [
    'a view with gaps',
    saved({ a: view('0', 6, [3], [2]) }, { 0: count(6, 0) }),
    saved({ a: view('0', 6, [3], [2]) }, { 0: count(6, 1) }),
    {},
    /a is a view with gaps, of elements that no tensor has together: save it with \.contiguous/,
  ],
  [
    'a part of a tensor that is another tensor elsewhere',
    saved({ a: plain('0', 6), b: view('0', 6, [2], [1], 2) }, { 0: count(6, 0) }),
    saved({ a: plain('0', 6), b: plain('1', 2) }, { 0: count(6, 1), 1: [3, 4] }),
    {},
    /b shares its bytes with a, and in .* the two do not/,
  ],
  [
    'a part of a tensor that is another part elsewhere',
    saved({ a: plain('0', 6), b: view('0', 6, [2], [1], 2) }, { 0: count(6, 0) }),
    saved({ a: plain('0', 6), b: view('0', 6, [2], [1], 3) }, { 0: count(6, 1) }),
    {},
    /b shares its bytes with a/,
  ],
  [
    'what is expanded in the newest alone',
    saved({ a: view('0', 2, [3, 2], [0, 1]) }, { 0: [1, 2] }),
    saved({ a: view('0', 6, [3, 2], [2, 1]) }, { 0: count(6, 1) }),
    {},
    /a is expanded from fewer elements, and in .* it is not: save it with \.clone/,
  ],
  [
    'another size of files',
    apart(0, 1),
    apart(1, 2),
    { shardSize: '5GB' },
    /format: torch keeps the files of the layout, which shardSize and files would change/,
  ],
])('refused: %s', async (_, newest, older, options, said) => {
  expect((await refusal([older, newest], options)).message).toMatch(said);
});

it('a layout that is no member gives no bytes', async () => {
  const like = saved({ a: view('0', 6, [4], [1]) }, { 0: count(6, 0) });
  const other = saved({ a: plain('0', 4) }, { 0: count(4, 5) });
  expect(await refusal([other, other], { like })).toEqual({ code: 'E_TORCH_FILE', message: expect.stringContaining('are not copied') });
});

it('an item of a list is not left out', async () => {
  const file = (from: number): string => {
    const path = fresh('m.pt');
    const list = Buffer.concat([op.emptyList, op.mark, tensor(plain('0', 4)), tensor(plain('1', 4)), Buffer.from('e')]);
    writeFileSync(path, zipOf(torchFiles(pickle(dictOf({ a: list })), { 0: floats(...count(4, from)), 1: floats(...count(4, from)) })));
    return path;
  };
  const refused = await refusal([file(0), file(1)], { policies: [{ name: 'a.0', use: 'drop' }] });
  expect(refused.message).toMatch(/a\.0 is an item of a list, which cannot be left out of it/);
});

it('containers that are written another way are refused with what to do', async () => {
  const home = (name: string): string => unpackGolden(name, join(folder, name));
  for (const [input, said] of [
    [
      join(home('deepspeed-zero1'), 'global_step100'),
      /is of DeepSpeed \(ZeRO 1 or 2\), which loads weights from the files of its optimizer, too/,
    ],
    [join(home('fsdp-rank-pt'), 'global_step_100/actor'), /whose files hold parts of tensors, one file a rank/],
    [join(home('dcp-plain'), '200'), /is no file of torch\.save, and format: torch writes in the form of one whole file/],
  ] as const) {
    await expect(convert({ input, output: fresh('out.pt'), format: 'torch' })).rejects.toMatchObject({
      code: 'E_OPTION',
      message: expect.stringMatching(said),
    });
  }
  const sharded = join(home('torch-bin-sharded'), '100');
  await expect(convert({ input: sharded, output: fresh('out.bin'), format: 'torch' })).rejects.toMatchObject({
    code: 'E_OPTION',
    message: expect.stringContaining('has 2'),
  });
});

it('nothing of somebody else is replaced', async () => {
  const input = apart(0, 1);
  const output = fresh('out.pt');
  writeFileSync(output, 'a diary');
  await expect(convert({ input, output, format: 'torch' })).rejects.toMatchObject({ code: 'E_OUTPUT_EXISTS' });
  await expect(convert({ input, output, format: 'torch', force: true })).rejects.toMatchObject({ code: 'E_OUTPUT_KIND' });
  const other = fresh('out.pt');
  writeFileSync(`${other}.merge_provenance.json`, 'a diary');
  await expect(convert({ input, output: other, format: 'torch', force: true })).rejects.toMatchObject({
    code: 'E_OUTPUT_EXISTS',
    message: expect.stringContaining('is none of a merge'),
  });
  expect(readFileSync(`${other}.merge_provenance.json`, 'utf8')).toBe('a diary');
  // A file of torch.save is one that --force replaces, with its record.
  const third = fresh('out.pt');
  await convert({ input, output: third });
  await convert({ input: apart(5, 6), output: third, force: true });
  expect(readFileSync(third).includes(floats(...count(4, 5)))).toBe(true);
});

it('OUT.pt is a file of torch.save without being told, a resume knows it, and OUT.safetensors stays what it is', async () => {
  const inputs = [apart(0, 1), apart(2, 3)];
  const output = fresh('out.pt');
  await average({ inputs, output, allowUnknown: true });
  expect((await openCheckpoint(output)).form).toMatchObject({ kind: 'torch', writer: 'torch.save' });
  expect(await average({ inputs, output, allowUnknown: true, resume: true })).toMatchObject({ finished: [output] });
  await expect(average({ inputs, output, allowUnknown: true, resume: true, weights: [1, 3] })).rejects.toMatchObject({
    message: expect.stringContaining('weights (there 0.5000, 0.5000, here 1, 3)'),
  });
  const one = fresh('out.safetensors');
  await average({ inputs, output: one, allowUnknown: true });
  expect([...readOracle(one).values()].map((tensor) => [...floatsOf(tensor)])).toEqual([count(4, 1), count(4, 2)]);
});

it('members in other orders of their elements are merged into that of the newest', async () => {
  const newest = saved({ a: view('0', 6, [2, 3], [1, 2]) }, { 0: [0, 3, 1, 4, 2, 5] });
  const older = saved({ a: view('0', 6, [2, 3], [3, 1]) }, { 0: [0, 1, 2, 3, 4, 5] });
  const output = fresh('out.pt');
  await average({ inputs: [older, newest], output, allowUnknown: true });
  expect(readFileSync(output).includes(floats(0, 3, 1, 4, 2, 5))).toBe(true);
});

it('a serialization id of another form than torch writes is written as it stands', async () => {
  const idOf = async (id: string): Promise<string> => {
    const path = fresh('m.pt');
    const files = torchFiles(pickle(dictOf({ a: tensor(plain('0', 4)) })), { 0: floats(1, 2, 3, 4) });
    writeFileSync(path, zipOf([...files, { name: 'archive/.data/serialization_id', data: Buffer.from(id) }]));
    const output = fresh('out.pt');
    await average({ inputs: [path], output, allowUnknown: true });
    expect((await openCheckpoint(output)).shards[0]!.tensors.names).toEqual(['a']);
    return readFileSync(output).toString('latin1');
  };
  for (const id of ['xyz', '7'.repeat(41), '', 'x'.repeat(40)]) expect(await idOf(id)).toContain(id);
  expect(await idOf('7'.repeat(40))).not.toContain('7'.repeat(40));
});
