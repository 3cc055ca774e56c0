import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { unfinishedDownload } from '../../../src/checkpoints/downloads.ts';
import { temporaryFolder } from '../../support/checkpoints.ts';
import { writeTree } from '../../support/run-trees.ts';

let folder: ReturnType<typeof temporaryFolder>;
beforeEach(() => {
  folder = temporaryFolder();
});
afterEach(() => folder.remove());

const PARTS = 'a/.cache/huggingface/download';
/** As huggingface_hub names what it has of a file: base64url of the SHA-1 of `NAME.metadata`, then the ETag. */
const OF = { optimizer: 'FLSH5hVUNNxQuAanKK0z708kvhA=', tokenizer: 'HgM_lKo9sdSCfRtVg7MMFS7EKqo=' };

const REVISION = 'models--org--name/snapshots/0123abcd';
test.each<[string, string, string[], string | null]>([
  [
    'nothing',
    'a',
    ['a/model.safetensors', 'a/config.json', 'a/part.json', 'a/.cache/huggingface/download/model.safetensors.metadata'],
    null,
  ],
  ['aria2', 'a', ['a/model.safetensors', 'a/model.safetensors.aria2'], 'a/model.safetensors.aria2'],
  ['a browser', 'a', ['a/model.safetensors', 'a/tokenizer.json.crdownload'], 'a/tokenizer.json.crdownload'],
  ['wget and others', 'a', ['a/model.safetensors', 'a/model.safetensors.part'], 'a/model.safetensors.part'],
  ['axel', 'a', ['a/model.safetensors', 'a/model.safetensors.st'], 'a/model.safetensors.st'],
  ['lftp', 'a', ['a/model.safetensors', 'a/model.safetensors.lftp-pget-status'], 'a/model.safetensors.lftp-pget-status'],
  ['qBittorrent', 'a', ['a/model.safetensors', 'a/model.safetensors.!qB'], 'a/model.safetensors.!qB'],
  ['what no merge is made of', 'a', ['a/model.safetensors', 'a/optimizer.pt.incomplete', 'a/x.st'], null],
  ['beside a file', 'step-1.safetensors', ['step-1.safetensors', 'step-1.safetensors.aria2'], 'step-1.safetensors.aria2'],
  ['beside another file', 'step-1.safetensors', ['step-1.safetensors', 'step-10.safetensors.aria2'], null],
  [
    'the Hub, into a folder',
    'a',
    ['a/config.json', 'a/.cache/huggingface/download/x.json.ab12.incomplete'],
    'a/.cache/huggingface/download/x.json.ab12.incomplete',
  ],
  ['the Hub, of what is there', 'a', ['a/x.json', 'a/.cache/huggingface/download/x.json.ab12.incomplete'], null],
  ['the Hub, by hashes', 'a', ['a/config.json', `${PARTS}/${OF.tokenizer}.ab12.incomplete`], `${PARTS}/${OF.tokenizer}.ab12.incomplete`],
  ['the Hub, by hashes, of an older one', 'a', ['a/tokenizer.json', `${PARTS}/${OF.tokenizer}.ab12.incomplete`], null],
  ['the Hub, by hashes, given up', 'a', ['a/config.json', `${PARTS}/${OF.optimizer}.ab12.incomplete`], null],
  ['the Hub, given up', 'a', ['a/config.json', `${PARTS}/optimizer.pt.ab12.incomplete`], null],
  [
    'the Hub, in its cache',
    REVISION,
    [`${REVISION}/config.json`, 'models--org--name/blobs/ab12.incomplete'],
    'models--org--name/blobs/ab12.incomplete',
  ],
  [
    'the Hub, in its cache and there',
    REVISION,
    [`${REVISION}/config.json`, 'models--org--name/blobs/ab12', 'models--org--name/blobs/ab12.incomplete'],
    null,
  ],
])('a download by %s', async (_, path, files, expected) => {
  writeTree(folder.path, Object.fromEntries(files.map((name) => [name, ''])));
  const kind = path.endsWith('.safetensors') ? 'file' : 'folder';
  expect(await unfinishedDownload({ path: join(folder.path, path), kind })).toBe(expected === null ? null : join(folder.path, expected));
});
