import {
  chmodSync,
  linkSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { lookAt } from '../../../src/checkpoints/link-ground.ts';
import type { SideFile } from '../../../src/checkpoints/side-files.ts';
import { copySideFiles } from '../../../src/merge/output/copy-side-files.ts';
import { rewriteConfigDtype, withoutQuantisation } from '../../../src/merge/record/config-dtype.ts';
import { mergeCard } from '../../../src/merge/record/merge-card.ts';
import { buildProvenance } from '../../../src/merge/record/provenance.ts';
import { contentOf, errorOf, temporaryFolder } from '../../support/publication.ts';

const intoFolder = (dir: string) => ({ dir, shown: dir });

describe('config.json', () => {
  test('gets the dtype in both keys and in nested configs, and keeps every other byte', () => {
    const text = `{
  "architectures": ["dtype", "torch_dtype"],
  "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "big": 12345678901234567890,
  "10": "ten", "2": "two",
  "note": "\\"dtype\\": \\"bfloat16\\" {",
  "dtype" : "bfloat16",
  "torch_dtype":"torch.float16",
  "text_config": { "dtype": "bfloat16", "list": [ { "torch_dtype": "half" } ], "bnb_4bit_compute_dtype": "bfloat16" },
  "vision_config": { "torch_dtype": null, "dtype": "auto" },
  "quantization_config": { "dtype": "float16", "inner": { "torch_dtype": "float16" } },
  "a\\"b": {"dtype": "float64"}
}\t\n`;
    const { text: result, changed } = rewriteConfigDtype(text, 'F32');
    expect(result).toBe(
      text
        .replace('"dtype" : "bfloat16"', '"dtype" : "float32"')
        .replace('"torch.float16"', '"torch.float32"')
        .replace('{ "dtype": "bfloat16", "list"', '{ "dtype": "float32", "list"')
        .replace('"half"', '"float32"')
        .replace('"float64"', '"float32"'),
    );
    expect(changed).toEqual(['dtype', 'torch_dtype', 'text_config.dtype', 'text_config.list.torch_dtype', 'a"b.dtype']);
  });

  test.each([
    ['BF16', 'bfloat16'],
    ['F16', 'float16'],
    ['F64', 'float64'],
  ] as const)('names %s as torch does', (dtype, name) => {
    expect(rewriteConfigDtype('{"dtype":"float32"}', dtype)).toEqual({ text: `{"dtype":"${name}"}`, changed: ['dtype'] });
    expect(rewriteConfigDtype(`{"dtype":"${name}"}`, dtype).changed).toEqual([]);
  });

  test.each(['', '{"dtype":"bfloat16"', '[]', '{"dtype":{"dtype":"x"}}', '"dtype"'])('that is %j comes back as it is', (text) => {
    expect(rewriteConfigDtype(text, 'F32')).toEqual({ text, changed: [] });
  });
});

describe('a config.json that Python reads and strict JSON does not', () => {
  test('keeps its NaN and Infinity, with the dtype rewritten', () => {
    const text = '{"time_step_limit": [0.0, Infinity], "dtype": "bfloat16", "a": -Infinity, "b": NaN}';
    expect(rewriteConfigDtype(text, 'F32').text).toBe(text.replace('bfloat16', 'float32'));
  });

  test('names the dtype of the output where it named a quantised one', () => {
    expect(rewriteConfigDtype('{"torch_dtype": "float8_e4m3fn"}', 'BF16').text).toBe('{"torch_dtype": "bfloat16"}');
    expect(rewriteConfigDtype('{"dtype": "fp8"}', 'BF16').changed).toEqual([]);
  });

  test('changes no byte but the dtype: huge integers, equal keys, escapes, floats of every spelling', () => {
    const rest =
      '"n": 123456789012345678901234567890, "k": 1, "k": 1.0, "f": [1e-05, 1E400, -0.0, NaN], "u": "\\ud800\\/é", "i": {"__float__": "-Infinity"}';
    const text = `{${rest}, "d\\u0074ype": "bfloat16", "dtype": "float16"}\r\n`;
    expect(rewriteConfigDtype(text, 'F32').text).toBe(text.replace('bfloat16', 'float32').replace('float16', 'float32'));
  });

  test('may hold a text of 16 MB', () => {
    const text = `{"a": "${'x\\"'.repeat(5e6)}", "dtype": "bfloat16", "quantization_config": {}}`;
    const { text: rewritten, changed } = rewriteConfigDtype(text, 'F32');
    expect(changed).toEqual(['dtype']);
    expect(rewritten.endsWith('"dtype": "float32", "quantization_config": {}}')).toBe(true);
    expect(withoutQuantisation(rewritten).removed).toEqual(['quantization_config']);
  });
});

/** A file as planning saw it. */
async function looked(folder: string, name: string): Promise<SideFile> {
  const path = join(folder, name);
  return { name, ...(await lookAt(path, realpathSync(path))) };
}

describe('side files', () => {
  test('are copied by content, with ordinary modes', async () => {
    const folder = temporaryFolder();
    const [from, to] = [join(folder, 'from'), join(folder, 'to')];
    mkdirSync(join(from, 'additional_chat_templates'), { recursive: true });
    mkdirSync(to);
    writeFileSync(join(from, 'blob'), Buffer.from([0, 255, 10, 13]));
    chmodSync(join(from, 'blob'), 0o400);
    symlinkSync('blob', join(from, 'tokenizer.model'));
    writeFileSync(join(from, 'additional_chat_templates/x.jinja'), 'x');
    writeFileSync(join(from, 'config.json'), 'before');
    const look = (name: string) => looked(from, name);
    const files = await Promise.all(['tokenizer.model', 'additional_chat_templates/x.jinja', 'config.json'].map(look));
    const sum = (bytes: Uint8Array, before: number) => bytes.reduce((all, byte) => all + byte, before);
    expect(await copySideFiles(files, intoFolder(to), { replaced: new Map([['config.json', 'after']]), sum })).toEqual([
      { name: 'tokenizer.model', bytes: 4, crc: 255 + 10 + 13 },
      { name: 'additional_chat_templates/x.jinja', bytes: 1, crc: 120 },
      { name: 'config.json', bytes: 5, crc: sum(Buffer.from('after'), 0) },
    ]);
    expect(readFileSync(join(to, 'tokenizer.model'))).toEqual(Buffer.from([0, 255, 10, 13]));
    expect(statSync(join(to, 'tokenizer.model')).mode & 0o777).toBe(0o666 & ~process.umask());
    expect(contentOf(to)).toMatchObject({ 'additional_chat_templates/x.jinja': 'x', 'config.json': 'after' });
    // A resumed run copies them again, and writes into nothing that lies there.
    rmSync(join(to, 'config.json'));
    writeFileSync(join(folder, 'private'), 'private');
    symlinkSync('../private', join(to, 'config.json'));
    rmSync(join(to, 'tokenizer.model'));
    linkSync(join(folder, 'private'), join(to, 'tokenizer.model'));
    await copySideFiles(files, intoFolder(to));
    expect(contentOf(to)).toMatchObject({ 'config.json': 'before' });
    expect(readFileSync(join(folder, 'private'), 'utf8')).toBe('private');
  });

  test("that are gone are the input's fault, what is in the way is the output's", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'a'), 'a');
    const a = await looked(folder, 'a');
    rmSync(join(folder, 'a'));
    const gone = await errorOf(copySideFiles([a], intoFolder(folder)));
    expect([gone.code, gone.details.file]).toEqual(['E_NOT_FOUND', join(folder, 'a')]);
    writeFileSync(join(folder, 'b'), 'b');
    const b = await looked(folder, 'b');
    mkdirSync(join(folder, 'to/b'), { recursive: true });
    const inTheWay = await errorOf(copySideFiles([b], intoFolder(join(folder, 'to'))));
    expect([inTheWay.code, inTheWay.details.file]).toEqual(['E_OUTPUT_KIND', join(folder, 'to/b')]);
  });
});

describe('a file that was looked at', () => {
  /** What lies at the same path when it is copied. */
  const CHANGES: Record<string, (folder: string) => void> = {
    'another file of the same size and time': (folder) => renameSync(join(folder, 'other'), join(folder, 'run/tokenizer.json')),
    'a link to one that is private': (folder) => {
      rmSync(join(folder, 'run/tokenizer.json'));
      symlinkSync('../other', join(folder, 'run/tokenizer.json'));
    },
    'a folder on the way that is a link': (folder) => {
      renameSync(join(folder, 'run'), join(folder, 'moved'));
      symlinkSync('moved', join(folder, 'run'));
    },
    'more of it': (folder) => writeFileSync(join(folder, 'run/tokenizer.json'), 'public and more'),
  };

  test.each(Object.keys(CHANGES))('is that file or an error: %s', async (what) => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'run'));
    mkdirSync(join(folder, 'to'));
    writeFileSync(join(folder, 'run/tokenizer.json'), 'public!');
    writeFileSync(join(folder, 'other'), 'private');
    const { atime, mtime } = statSync(join(folder, 'run/tokenizer.json'));
    utimesSync(join(folder, 'other'), atime, mtime);
    const file = await looked(join(folder, 'run'), 'tokenizer.json');
    CHANGES[what]!(folder);
    const error = await errorOf(copySideFiles([file], intoFolder(join(folder, 'to'))));
    expect(error.code).toBe('E_INPUT_CHANGED');
    expect(contentOf(join(folder, 'to'))).toEqual({});
  });
});

describe('the merge card', () => {
  const provenance = buildProvenance({
    toolVersion: '1.2.3',
    output: '/data/merged',
    recipe: {
      method: 'wma',
      alpha: null,
      parameters: {},
      normalized: false,
      dtype: null,
      purpose: null,
      optimizer: null,
      policies: [],
      allowMixedDtypes: false,
      allowUnknown: false,
      like: null,
      members: [1, 2].map((i) => ({
        path: `/data/run/check|point-${i}`,
        step: i,
        tokens: null,
        weight: i / 3,
        bytes: 1,
        fingerprint: 'f',
      })),
    },
    planDigest: 'd',
    files: [],
    dtypeChanges: ['BF16 to F32: 3 tensors'],
    warnings: [],
    timings: null,
  });

  test('says what was merged and how to check it', () => {
    const card = mergeCard(provenance, { name: 'merged' });
    expect(card).toMatch(/^---\nlibrary_name: transformers\ntags:\n- merge\n- ckpt-merge\n---\n\n# merged\n/);
    expect(card).toContain('| check\\|point-1 | 1 |  | 0.3333333333333333 |\n| check\\|point-2 | 2 |  | 0.6666666666666666 |\n');
    expect(card).toContain('2 checkpoints of one training run, merged by ckpt-merge 1.2.3 with the method `wma`.');
    expect(card).toContain('BF16 to F32: 3 tensors');
    // Runnable where the card is read.
    expect(card).toContain('In this folder, `npx ckpt-merge verify .`');
    expect(card).not.toContain('/data');
    expect(card).not.toContain('base_model');
  });

  test("keeps of the source's front matter what holds for the merge", () => {
    const sourceReadme =
      '\uFEFF---\r\nlicense: apache-2.0\r\nlanguage:\r\n- en\r\n  # comment\r\n- de\r\ntags: [text-generation, merge]\r\nbase_model: org/model\r\nmodel-index:\r\n- name: x\r\ndatasets:\r\n- /data/ann/secret\r\n---\r\n# Source\r\n';
    const front = mergeCard(provenance, { name: 'm', sourceReadme }).split('---\n')[1];
    expect(front).toBe(
      'library_name: transformers\nlicense: apache-2.0\nlanguage:\n- en\n- de\nbase_model: org/model\ntags:\n- text-generation\n- merge\n- ckpt-merge\n',
    );
    const local = mergeCard(provenance, {
      name: 'm',
      sourceReadme: '---\nbase_model: /home/ann/model\nlicense: mit\nlibrary_name: nemo\n---\n',
    });
    expect(local).not.toContain('ann');
    expect(local).toContain('license: mit');
    expect(local).toContain('library_name: nemo');
  });

  test.each(['', '# No front matter\nlicense: x', '---\nlicense: x\nnever closed', 'text\n---\nlicense: x\n---\n'])(
    'takes nothing from %j',
    (sourceReadme) => {
      expect(mergeCard(provenance, { name: 'm', sourceReadme })).toBe(mergeCard(provenance, { name: 'm' }));
    },
  );
});
