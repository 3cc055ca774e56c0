/**
 * Opening checkpoints of torch.distributed of very many parts: 1,000 tensors of 256 each in 256 files, ten
 * checkpoints, with the heads of all items, against one of them; each in a fresh process. The values are ones,
 * and all ten share them by hard links.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { dtypeByName } from '../dist/base/dtype.js';
import { readTemplate } from '../dist/checkpoints/containers/dcp/template.js';
import { ItemWriter } from '../dist/checkpoints/containers/dcp/write-item.js';
import { writeMetadata } from '../dist/checkpoints/containers/dcp/write-metadata.js';
import { openCheckpoint } from '../dist/checkpoints/open.js';
import { run } from './support/child.js';
import { interleaved, spread, summary, table } from './support/measure.js';

const CHILD = fileURLToPath(new URL('support/open-child.js', import.meta.url));
const GOLDEN = fileURLToPath(new URL('../test/golden/containers/dcp-fsdp.tar.gz', import.meta.url));
const [TENSORS, PARTS, MEMBERS] = [1000, 256, 10];
/** Rows and columns of a part. */
const SIDE = 8;

/** @param {import('./support/context.js').Context} context */
export default async function parts(context) {
  const members = await makeRun(join(context.dir, 'parts'));
  /** @type {Record<string, number>} */
  const megabytes = {};
  const opened = (/** @type {string} */ label, /** @type {string[]} */ paths) => async () => {
    const said = JSON.parse((await run(process.execPath, [CHILD, JSON.stringify({ openAll: paths })])).stdout);
    megabytes[label] = Math.max(megabytes[label] ?? 0, said.max_rss_mb);
    return said.seconds;
  };
  const seconds = await interleaved(context.rounds, { one: opened('one', members.slice(0, 1)), ten: opened('ten', members) });
  const each = summary(seconds.ten.map((ten, i) => ten / MEMBERS / seconds.one[i]));
  const rows = /** @type {const} */ (['one', 'ten']).map((label) => ({
    checkpoints: label,
    seconds: spread(summary(seconds[label]), 2),
    'goal s': label === 'ten' ? 15 : 2,
    'resident MB': megabytes[label],
  }));
  table(rows);
  console.log(`one of ten against one alone: ${spread(each, 2)}`);
  context.discard('parts');
  return { tensors: TENSORS, parts: PARTS, members: MEMBERS, seconds, megabytes, each };
}

/** @param {string} folder @returns {Promise<string[]>} its checkpoints */
async function makeRun(folder) {
  const paths = Array.from({ length: MEMBERS }, (_, m) => join(folder, `step-${(m + 1) * 100}`));
  if (existsSync(join(paths[MEMBERS - 1], '.metadata'))) return paths;
  mkdirSync(folder, { recursive: true });
  execFileSync('tar', ['-xzf', GOLDEN, '-C', folder]);
  const { form, root } = await readTemplate(await openCheckpoint(join(folder, 'dcp-fsdp', '200')));
  const dtype = dtypeByName('BF16');
  if (dtype === undefined) throw new Error('BF16 is no dtype');
  const writer = new ItemWriter(form, (bytes) => crc32(bytes));
  const item = writer.layOut(dtype, [SIDE, SIDE]);
  const data = Buffer.alloc(item.bytes, 1);
  const bytes = Buffer.alloc(item.size);
  bytes.set(data, item.at);
  for (const piece of item.pieces(crc32(data))) bytes.set(piece.bytes, piece.offset);
  const file = Buffer.concat(Array.from({ length: TENSORS }, () => bytes));
  const tensors = Array.from({ length: TENSORS }, (_, i) => ({
    name: `model.layers.${i % 100}.mlp.experts.${Math.floor(i / 100)}.down_proj.weight`,
    dtype,
    shape: [PARTS * SIDE, SIDE],
    chunks: Array.from({ length: PARTS }, (_, part) => ({
      ...{ start: [part * SIDE, 0], size: [SIDE, SIDE] },
      ...{ file: `__${part}_0.distcp`, offset: i * item.size, length: item.size },
    })),
  }));
  const metadata = writeMetadata(root, tensors, []);
  for (const [m, path] of paths.entries()) {
    mkdirSync(path, { recursive: true });
    for (let part = 0; part < PARTS; part++) {
      const name = `__${part}_0.distcp`;
      if (m === 0) writeFileSync(join(path, name), file);
      else linkSync(join(paths[0], name), join(path, name));
    }
    writeFileSync(join(path, '.metadata'), metadata);
  }
  return paths;
}
