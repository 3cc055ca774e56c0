import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32cReference } from '../../src/analysis/verify/twin/crc32c.ts';
import { type FixtureTensor, writeCheckpoint } from './checkpoints.ts';
import type { HostileCase, HostileSetup } from './hostile-case.ts';
import { EMBED, good, NORM } from './hostile-inputs.ts';
import { BIN } from './run-cli.ts';

const COUNTS: FixtureTensor = { name: 'counts', dtype: 'I64', shape: [2], data: new Uint8Array(16).fill(3) };
const FIRST = 'model-00001-of-00002.safetensors';
const SECOND = 'model-00002-of-00002.safetensors';
const PROVENANCE = 'out/merge_provenance.json';

let template: string | undefined;

/**
 * A folder with two checkpoints of two shards, their merge `out`, and the merge of their first files
 * `out.safetensors`; made once, to be copied.
 */
function merges(): string {
  if (template !== undefined) return template;
  template = mkdtempSync(join(tmpdir(), 'ckpt-merge-test-'));
  const words: string[] = [];
  for (const [i, name] of ['checkpoint-10', 'checkpoint-20'].entries()) {
    writeCheckpoint(join(template, name), [[EMBED], [NORM, COUNTS]], i + 1);
    words.push(name);
  }
  const run = (args: readonly string[]) => execFileSync(process.execPath, [BIN, 'average', ...args], { cwd: template, stdio: 'pipe' });
  run([...words, '-o', 'out']);
  run([...words.map((name) => `${name}/${FIRST}`), '-o', 'out.safetensors']);
  return template;
}

/** Removes what the cases were copied from. */
export function removeMerges(): void {
  if (template !== undefined) rmSync(template, { recursive: true, force: true });
  template = undefined;
}

function verify(
  code: HostileCase['code'],
  exit: number,
  place: string,
  damage: (folder: string) => Partial<HostileSetup>,
  args: readonly string[] = ['out'],
): HostileCase {
  const make = (folder: string): HostileSetup => {
    cpSync(merges(), folder, { recursive: true });
    return { args: ['verify', ...args], ...damage(folder) };
  };
  return { code, exit, place: `verify: ${place}`, what: `verify ${args.join(' ')}`, make };
}

/** Changes the text of the provenance. */
function provenance(place: string, change: (text: string) => string, says?: string): HostileCase {
  return verify('E_PROVENANCE', 3, `provenance: ${place}`, (folder) => {
    const path = join(folder, PROVENANCE);
    const [before, after] = [readFileSync(path, 'utf8'), change(readFileSync(path, 'utf8'))];
    if (before === after) throw new Error(`nothing was changed for: ${place}`);
    writeFileSync(path, after);
    return { file: PROVENANCE, ...(says !== undefined && { says }) };
  });
}

function patch(path: string, at: number, bytes: readonly number[]): Buffer {
  const content = readFileSync(path);
  const start = at < 0 ? content.length + at : at;
  content.set(bytes, start);
  writeFileSync(path, content);
  return content;
}

/** Changes bytes of a shard of the merge and its checksum in the provenance: only recomputing finds that. */
function forge(folder: string, shard: string, at: number, bytes: readonly number[]): void {
  const path = join(folder, 'out', shard);
  const before = crcOf(readFileSync(path));
  const after = crcOf(patch(path, at, bytes));
  const record = join(folder, PROVENANCE);
  const text = readFileSync(record, 'utf8');
  if (before === after || !text.includes(before)) throw new Error(`the provenance does not hold the checksum ${before}`);
  writeFileSync(record, text.replace(before, after));
}

const crcOf = (bytes: Uint8Array) => crc32cReference(bytes).toString(16).padStart(8, '0');

export const HOSTILE_MERGES: readonly HostileCase[] = [
  verify('E_PROVENANCE', 3, 'provenance missing', (folder) => {
    unlinkSync(join(folder, PROVENANCE));
    return { file: PROVENANCE };
  }),
  verify('E_PROVENANCE', 3, 'folder that no merge wrote', (folder) => ({ args: ['verify', good(folder, 'plain')], file: 'plain' })),
  verify('E_PROVENANCE', 3, 'file that no merge wrote', () => ({ file: FIRST }), [`checkpoint-10/${FIRST}`]),
  provenance('cut short', (text) => text.slice(0, text.length / 2)),
  provenance('empty', () => ''),
  provenance('version', (text) => text.replace('"version": 1,', '"version": 2,'), 'version is 2'),
  provenance('schema', (text) => text.replace('ckpt-merge/provenance', 'other/provenance'), 'schema'),
  provenance('key twice', (text) => text.replace('"version": 1,', '"version": 1, "version": 1,'), 'version'),
  provenance('file name', (text) => text.replaceAll(FIRST, `../${FIRST}`), FIRST),
  provenance('checksum', (text) => text.replace(/"crc32c": "[0-9a-f]{8}"/, '"crc32c": "no"'), 'crc32c'),
  provenance('weight', (text) => text.replace(/"weight": [\d.]+/, '"weight": "half"'), 'weight'),
  provenance('members', (text) => text.replace(/"members": \[[^\]]*\]/, '"members": []'), 'members'),
  verify('E_VERIFY', 5, 'byte of the data', (folder) => {
    const path = join(folder, 'out', SECOND);
    patch(path, -1, [readFileSync(path).at(-1)! ^ 1]);
    return { file: `out/${SECOND}`, says: 'CRC32C' };
  }),
  verify('E_VERIFY', 5, 'byte of the header', (folder) => {
    const path = join(folder, 'out', FIRST);
    patch(path, readFileSync(path).indexOf('"pt"') + 1, [...Buffer.from('tp')]);
    return { file: `out/${FIRST}`, says: 'CRC32C' };
  }),
  verify(
    'E_VERIFY',
    5,
    'byte of a single file',
    (folder) => {
      patch(join(folder, 'out.safetensors'), -3, [0x55, 0x55]);
      return { file: 'out.safetensors', says: 'CRC32C' };
    },
    ['out.safetensors'],
  ),
  verify(
    'E_VERIFY',
    5,
    'element, checksum corrected',
    (folder) => {
      // 64 bytes of bf16 end the file: element 27 of [8, 4] becomes 3.140625.
      forge(folder, FIRST, -10, [0x49, 0x40]);
      return { file: `out/${FIRST}`, tensor: 'embed.weight', says: 'found 3.140625 (0x4049)' };
    },
    ['out', '--full'],
  ),
  verify(
    'E_VERIFY',
    5,
    'copied integer, checksum corrected',
    (folder) => {
      forge(folder, SECOND, -1, [4]);
      return { file: `out/${SECOND}`, tensor: 'counts', says: 'element 15' };
    },
    ['out', '--full'],
  ),
  verify(
    'E_VERIFY',
    5,
    'weights of the provenance',
    (folder) => {
      const path = join(folder, PROVENANCE);
      writeFileSync(path, readFileSync(path, 'utf8').replace('"weight": 0.5', '"weight": 0.75'));
      return { file: `out/${FIRST}`, tensor: 'embed.weight', says: 'element 0' };
    },
    ['out', '--sample', '1'],
  ),
  verify('E_VERIFY', 5, 'size in the provenance', (folder) => {
    const path = join(folder, PROVENANCE);
    writeFileSync(path, readFileSync(path, 'utf8').replace(/(safetensors",\s*"bytes": )(\d+)/, '$11$2'));
    return { file: `out/${FIRST}`, says: 'bytes' };
  }),
  verify('E_VERIFY', 5, 'file that the provenance does not name', (folder) => {
    const path = join(folder, PROVENANCE);
    const record = JSON.parse(readFileSync(path, 'utf8'));
    record.files = record.files.slice(0, 1);
    writeFileSync(path, JSON.stringify(record));
    return { file: 'out', says: SECOND };
  }),
  verify('E_SHARD_MISSING', 3, 'shard of the merge', (folder) => {
    unlinkSync(join(folder, 'out', SECOND));
    return { file: `out/${SECOND}` };
  }),
  verify('E_SOURCE_CHANGED', 3, 'input that was trained on', (folder) => {
    patch(join(folder, 'checkpoint-10', FIRST), -2, [0, 0]);
    return { file: 'checkpoint-10' };
  }),
  verify('E_SOURCE_CHANGED', 3, '--input is another checkpoint', (folder) => ({
    args: ['verify', 'out', '--input', good(folder, 'other')],
  })),
  verify(
    'E_NOT_FOUND',
    3,
    '--full and an input gone',
    (folder) => {
      rmSync(join(folder, 'checkpoint-20'), { recursive: true });
      return { says: '--input' };
    },
    ['out', '--full'],
  ),
  verify('E_NOT_FOUND', 3, '--input gone', () => ({ file: 'gone' }), ['out', '--input', 'gone']),
];
