import { userInfo } from 'node:os';
import { describe, expect, test } from 'vitest';
import { foundPath, memberName, pathRemover, relativeMemberPath, writtenPath } from '../../../src/merge/record/member-path.ts';
import { parseProvenance } from '../../../src/merge/record/parse-provenance.ts';
import type { ProvenanceInput } from '../../../src/merge/record/provenance.ts';
import {
  buildProvenance,
  crcText,
  embeddedProvenance,
  provenanceText,
  sealDataCrc,
  shortProvenance,
  withoutProvenance,
} from '../../../src/merge/record/provenance.ts';

const user = userInfo().username;

const INPUT: ProvenanceInput = {
  toolVersion: '1.2.3',
  output: '/scratch/runs/merged',
  recipe: {
    method: 'ema',
    alpha: 0.2,
    parameters: { alpha: 0.2, 'lr-curve': '/scratch/curves/target.csv', reverse: true },
    normalized: false,
    dtype: 'F32',
    purpose: 'resume',
    optimizer: 'newest',
    policies: [],
    allowMixedDtypes: false,
    allowUnknown: false,
    like: '/scratch/runs/run-7/checkpoint-2000',
    members: [
      { path: '/scratch/runs/run-7/checkpoint-1000', step: 1000, tokens: 2 ** 40, weight: 0.1 + 0.2, bytes: 12, fingerprint: 'f1' },
      { path: `/home/${user}/run-7/checkpoint-2000`, step: null, tokens: null, weight: -1 / 3, bytes: 12, fingerprint: 'f2' },
    ],
  },
  planDigest: 'abc',
  files: [{ name: 'model.safetensors', bytes: 20, crc: 0xab }],
  dtypeChanges: ['BF16 to F32: 12 tensors'],
  warnings: [
    { code: 'W_NONFINITE', message: `NaN in /home/${user}/run-7/checkpoint-2000/model.safetensors, tensor "a/b.c" of /data/x y/z` },
  ],
  timings: { seconds: 1.5, bytesRead: 24, bytesWritten: 20 },
};

describe('provenance', () => {
  test('says what was merged, in a form that scripts rely on', () => {
    expect(JSON.parse(provenanceText(buildProvenance(INPUT)))).toEqual({
      schema: 'ckpt-merge/provenance',
      version: 1,
      tool: { name: 'ckpt-merge', version: '1.2.3' },
      recipe: {
        method: 'ema',
        alpha: 0.2,
        parameters: { alpha: 0.2, 'lr-curve': 'target.csv', reverse: true },
        normalized: false,
        dtype: 'F32',
        purpose: 'resume',
        optimizer: 'newest',
        policies: [],
        allowMixedDtypes: false,
        allowUnknown: false,
        like: 'checkpoint-2000',
        members: [
          {
            name: 'checkpoint-1000',
            path: 'run-7/checkpoint-1000',
            step: 1000,
            tokens: 2 ** 40,
            weight: 0.30000000000000004,
            bytes: 12,
            fingerprint: 'f1',
          },
          { name: 'checkpoint-2000', path: null, step: null, tokens: null, weight: -0.3333333333333333, bytes: 12, fingerprint: 'f2' },
        ],
      },
      planDigest: 'abc',
      files: [{ name: 'model.safetensors', bytes: 20, crc32c: '000000ab' }],
      dtypeChanges: ['BF16 to F32: 12 tensors'],
      warnings: [{ code: 'W_NONFINITE', message: 'NaN in checkpoint-2000/model.safetensors, tensor "a/b.c" of x y/z' }],
      timings: { seconds: 1.5, bytesRead: 24, bytesWritten: 20 },
    });
  });

  test('reads back as it was written, whole and inside a single file', () => {
    const whole = buildProvenance(INPUT);
    expect(parseProvenance(provenanceText(whole), 'x')).toEqual(whole);
    const metadata = embeddedProvenance(INPUT);
    const members = whole.recipe.members.map((member) => ({ ...member, path: null }));
    expect(parseProvenance(metadata.get('ckpt_merge')!, 'x')).toEqual({
      ...whole,
      recipe: { ...whole.recipe, members },
      planDigest: null,
      files: [],
      timings: null,
    });
  });

  test('inside a single file is the same wherever that is written', () => {
    expect(embeddedProvenance({ ...INPUT, output: '/elsewhere/y.safetensors' })).toEqual(embeddedProvenance(INPUT));
  });

  test('holds no absolute path and no user name', () => {
    const texts = [
      provenanceText(buildProvenance(INPUT)),
      ...embeddedProvenance(INPUT).values(),
      ...shortProvenance({ ...INPUT.recipe, parameters: {} }).values(),
    ];
    for (const text of texts) {
      expect(text).not.toMatch(/(?<!\w)\/(?:home|scratch|data)/);
      expect(text).not.toMatch(new RegExp(`\\b${user}\\b`));
    }
  });

  test('in short is one entry of __metadata__', () => {
    const short = shortProvenance({
      method: 'ema',
      parameters: { alpha: 0.2 },
      members: [{ path: 'run/checkpoint-10', step: 10, weight: 0.8 }],
    });
    expect([...short.keys()]).toEqual(['ckpt_merge']);
    expect(JSON.parse(short.get('ckpt_merge')!)).toEqual({
      method: 'ema',
      alpha: 0.2,
      members: [{ name: 'checkpoint-10', step: 10, weight: 0.8 }],
    });
    const metadata = new Map([['format', 'pt'], ...short, ...embeddedProvenance(INPUT)] as const);
    expect(withoutProvenance(metadata)).toEqual(new Map([['format', 'pt']]));
  });

  test('of a single file takes the CRC of its data in place', () => {
    const json = JSON.stringify({ __metadata__: { note: '--------', ...Object.fromEntries(embeddedProvenance(INPUT)) }, a: {} });
    const header = new Uint8Array(Buffer.concat([Buffer.alloc(8), Buffer.from(json)]).subarray(8));
    expect(sealDataCrc(header, 0xdeadbeef)).toBe(true);
    const sealed = JSON.parse(Buffer.from(header).toString()) as { __metadata__: Record<string, string> };
    expect(sealed.__metadata__).toEqual({ ...(JSON.parse(json) as typeof sealed).__metadata__, ckpt_merge_data_crc32c: 'deadbeef' });
    expect(sealDataCrc(Buffer.from('{"__metadata__":{}}'), 1)).toBe(false);
    expect([crcText(0), crcText(0xffff_ffff), crcText(-1)]).toEqual(['00000000', 'ffffffff', 'ffffffff']);
  });

  test.each([
    ['another schema', ['schema'], 'x'],
    ['a later version', ['version'], 2],
    ['no recipe', ['recipe'], undefined],
    ['no members', ['recipe', 'members'], []],
    ['a weight that is text', ['recipe', 'members', 0, 'weight'], '1'],
    ['an absolute member path', ['recipe', 'members', 0, 'path'], '/etc'],
    ['a step that is a fraction', ['recipe', 'members', 0, 'step'], 1.5],
    ['a missing fingerprint', ['recipe', 'members', 1, 'fingerprint'], undefined],
    ['a file outside the folder', ['files', 0, 'name'], '../x'],
    ['an absolute file', ['files', 0, 'name'], '/x'],
    ['a file without a name', ['files', 0, 'name'], ''],
    ['a CRC of 7 digits', ['files', 0, 'crc32c'], '0000000'],
    ['a CRC in capitals', ['files', 0, 'crc32c'], '000000AB'],
    ['negative bytes', ['files', 0, 'bytes'], -1],
    ['files that are no list', ['files'], {}],
    ['a strange warning', ['warnings', 0, 'code'], 'x'],
    ['timings that are a list', ['timings'], []],
    ['a dtype change that is a number', ['dtypeChanges'], [1]],
    ['no tool', ['tool'], null],
    ['parameters that are a list', ['recipe', 'parameters'], [0.2]],
    ['a parameter that is an object', ['recipe', 'parameters', 'alpha'], {}],
    ['a purpose that is no text', ['recipe', 'purpose'], 1],
    ['an optimizer that is no text', ['recipe', 'optimizer'], true],
    ['a parameter that is null', ['recipe', 'parameters', 'alpha'], null],
  ])('with %s is refused with E_PROVENANCE', (_, place, value) => {
    const provenance: unknown = JSON.parse(provenanceText(buildProvenance(INPUT)));
    const parent = place.slice(0, -1).reduce((at, key) => Reflect.get(at as object, key), provenance);
    Reflect.set(parent as object, place.at(-1)!, value);
    expect(() => parseProvenance(JSON.stringify(provenance), 'out/p.json')).toThrow(
      expect.objectContaining({
        code: 'E_PROVENANCE',
        details: { file: 'out/p.json' },
        message: expect.stringMatching(/^out\/p\.json: ./),
      }),
    );
  });

  test.each([
    ['nothing', ''],
    ['half', provenanceText(buildProvenance(INPUT)).slice(0, 300)],
    ['the same key twice', provenanceText(buildProvenance(INPUT)).replace('"planDigest"', '"planDigest": null, "planDigest"')],
    ['more after its end', `${provenanceText(buildProvenance(INPUT))}{}`],
    ['a list', '[]'],
    ['null', 'null'],
    ['bytes that are not UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ])('that is %s is refused with E_PROVENANCE', (_, text) => {
    expect(() => parseProvenance(text, 'p.json')).toThrow(
      expect.objectContaining({ code: 'E_PROVENANCE', details: expect.objectContaining({ file: 'p.json' }) }),
    );
  });

  test.each([
    [0.2, { alpha: 0.2 }],
    [null, {}],
  ])('from before there were other parameters and purposes, with alpha %s, is read', (alpha, parameters) => {
    const provenance = JSON.parse(provenanceText(buildProvenance(INPUT)));
    delete provenance.recipe.parameters;
    provenance.recipe.alpha = alpha;
    delete provenance.recipe.purpose;
    delete provenance.recipe.optimizer;
    expect(parseProvenance(JSON.stringify(provenance), 'x').recipe).toMatchObject({ alpha, parameters, purpose: null, optimizer: null });
  });

  test('passes over fields that it does not know', () => {
    const provenance = buildProvenance(INPUT);
    expect(parseProvenance(JSON.stringify({ ...provenance, later: { a: [1] } }), 'x')).toEqual(provenance);
  });
});

describe('a member', () => {
  test.each([
    ['/data/runs', '/data/runs/r/checkpoint-1', 'r/checkpoint-1'],
    ['/data/merges', '/data/runs/r/c', '../runs/r/c'],
    ['/data/runs/r', '/data/runs/r', ''],
    ['/data', '/database/x', null],
    ['/data', '/scratch/x', null],
    ['/home/ann', '/home/bob/x', null],
    ['/Users/ann', '/Users/bob/x', null],
    ['/home/ann/merges', '/home/ann/runs/x', '../runs/x'],
    ['/data/merges', '/data/ann/x', null],
    ['/data/ann/merges', '/data/ann/x', '../x'],
    ['/', '/x', null],
  ])('seen from %s at %s has the path %s', (parent, member, path) => {
    expect(relativeMemberPath(parent, member, 'ann')).toBe(path);
  });

  test.each([
    ['/data/r/checkpoint-100/', 'checkpoint-100'],
    ['r/soup.safetensors', 'soup.safetensors'],
    ['/data/r/checkpoint-100/model.safetensors', 'checkpoint-100/model.safetensors'],
    ['/home/ann/model.safetensors', 'model.safetensors'],
    ['/data/ann', 'checkpoint'],
    ['/', 'checkpoint'],
  ])('at %s is called %s', (path, name) => {
    expect(memberName(path, 'ann')).toBe(name);
  });
});

describe('a path in a file', () => {
  test.each([
    ['/data/best.search', '/data/run/checkpoint-1', '../run/checkpoint-1'],
    ['/data', '/data/run/checkpoint-1', './run/checkpoint-1'],
    ['/data/a/b', '/data/a/b', 'b'],
    ['/data/a/b', '/data/a', 'a'],
    ['/data/a', '/scratch/x/model.safetensors', 'x/model.safetensors'],
  ])('seen from %s: %s is written as %s', (folder, path, written) => {
    expect(writtenPath(folder, path)).toBe(written);
  });

  test('is found again from anywhere', () => {
    expect(foundPath('runs/best.search', writtenPath('/x/runs/best.search', '/x/runs/a'))).toBe('runs/a');
    expect(foundPath('/y/best.search', '../a')).toBe('/y/a');
    expect(foundPath('/y/best.search', 'a')).toBe('a');
  });
});

test.each([
  ['/a/b c/d is gone', [['/a/b c/d', 'd']], 'd is gone'],
  ['/a/b/c and "/d/e/", (/f/g): ./h/i ../j k/l https://m/n 1/2', [], 'c and "e", (g): ./h/i ../j k/l https://m/n 1/2'],
  ['x / y', [], 'x / y'],
  ['/a/run-old/x, /a/run/c and /a/run.', [['/a/run', '../run']], 'x, ../run/c and ../run.'],
  ['/a/(x)/y', [['/a/(x)', '../(x)']], '../(x)/y'],
  ['cc -I/usr/include a-I/b --out=/c/d 2>/e/f', [], 'cc -Iinclude a-I/b --out=d 2>f'],
  ['s3://b/ann/c file:///d/e http://f:1/g', [], 's3://b/ann/c file:e http://f:1/g'],
  ['/home/ann, ../ann/x/y and ann/', [], 'home, y and elsewhere'],
  ['PATH=/a/b:/c/d python \'/e/f.py\' $OUT/g "$OUT"/i ~/h {model}/i', [], 'PATH=b:d python \'f.py\' $OUT/g "$OUT"/i ~/h {model}/i'],
] as const)('text without paths: %s', (text, known, clean) => {
  const remove = pathRemover(new Map(known), 'ann');
  expect(remove(text)).toBe(clean);
  expect(remove(clean)).toBe(clean);
});

test('text with many long paths is cleaned in no time', () => {
  const paths = Array.from({ length: 5_000 }, (_, i) => `/data/${'deep/'.repeat(50)}run ${i}/checkpoint`);
  const remove = pathRemover(new Map(paths.map((path, i) => [path, `../run ${i}`])));
  const start = performance.now();
  expect(remove(paths.slice(0, 200).join(', '))).toBe(Array.from({ length: 200 }, (_, i) => `../run ${i}`).join(', '));
  for (const text of ['/'.repeat(1e5), 'a/'.repeat(5e4), '"/a'.repeat(3e4), `${'a'.repeat(1e5)}://`, ' -a/b'.repeat(2e4), 'x:'.repeat(5e4)])
    pathRemover()(text);
  expect(performance.now() - start).toBeLessThan(5000);
});
