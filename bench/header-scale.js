/**
 * How long a checkpoint of very many tensors takes to open, and how much memory: `node bench/header-scale.js [--rounds 5]`. The shards are sparse files
 * with real headers, so only headers and index take space. Each opening runs in a process of its own; seconds are without start-up and imports. Prints
 * JSON. Needs the built package.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { encodeHeader, encodeIndex, HeaderCache, layOutTensors, openCheckpoint } from '../dist/safetensors/index.js';

/** The figures to reach. */
const CASES = [
  { tensors: 92_000, shards: 64, maxSeconds: 0.4, maxMegabytes: 1000 },
  { tensors: 500_000, shards: 64, maxSeconds: 2, maxMegabytes: 1000 },
  { tensors: 500_000, shards: 1, maxSeconds: 2, maxMegabytes: 1000 },
];

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, open: { type: 'string', multiple: true } } });

if (values.open) await openInThisProcess(values.open);
else {
  const dir = mkdtempSync(join(tmpdir(), 'ckpt-merge-header-scale-'));
  try {
    const cases = CASES.map((wanted, i) => measure(join(dir, `${i}`), wanted, Number(values.rounds)));
    console.log(JSON.stringify({ node: process.version, loadAverage: loadavg()[0], cases }, null, 2));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** Opens the folders through one cache and prints seconds for each and the peak of resident memory. @param {string[]} folders */
async function openInThisProcess(folders) {
  const cache = new HeaderCache();
  const kept = [];
  const seconds = [];
  for (const folder of folders) {
    const start = performance.now();
    kept.push(await openCheckpoint(folder, { cache }));
    seconds.push((performance.now() - start) / 1000);
  }
  console.log(JSON.stringify({ seconds, maxRssMegabytes: process.resourceUsage().maxRSS / 1024, tensors: kept[0]?.tensorCount }));
}

/** @param {string} folder @param {(typeof CASES)[number]} wanted @param {number} rounds */
function measure(folder, wanted, rounds) {
  const made = makeFolder(folder, wanted.tensors, wanted.shards);
  const child = (/** @type {string[]} */ folders) => {
    const args = [fileURLToPath(import.meta.url), ...folders.flatMap((path) => ['--open', path])];
    return /** @type {{ seconds: number[], maxRssMegabytes: number, tensors: number }} */ (
      JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))
    );
  };
  const runs = Array.from({ length: rounds }, () => child([folder]));
  const seconds = runs.map((run) => run.seconds[0] ?? Number.NaN).sort((a, b) => a - b);
  const ten = child(Array.from({ length: 10 }, () => folder));
  rmSync(folder, { recursive: true });
  return {
    ...wanted,
    ...made,
    medianSeconds: seconds[rounds >> 1],
    minSeconds: seconds[0],
    maxRssMegabytes: Math.max(...runs.map((run) => run.maxRssMegabytes)),
    tenEqualInputs: { seconds: ten.seconds.reduce((a, b) => a + b), maxRssMegabytes: ten.maxRssMegabytes },
  };
}

/** A mixture of experts with as many layers as it takes. @param {string} folder @param {number} tensors @param {number} shards */
function makeFolder(folder, tensors, shards) {
  mkdirSync(folder, { recursive: true });
  const parts = [
    'gate_proj.weight',
    'gate_proj.weight_scale_inv',
    'up_proj.weight',
    'up_proj.weight_scale_inv',
    'down_proj.weight',
    'down_proj.weight_scale_inv',
  ];
  /** @type {[string, string][]} */
  const weightMap = [];
  let headerBytes = 0;
  const perShard = Math.ceil(tensors / shards);
  for (let shard = 0; shard < shards; shard++) {
    const file =
      shards === 1 ? 'model.safetensors' : `model-${String(shard + 1).padStart(5, '0')}-of-${String(shards).padStart(5, '0')}.safetensors`;
    const count = Math.min(perShard, tensors - shard * perShard);
    const specs = Array.from({ length: count }, (_, i) => {
      const n = shard * perShard + i;
      const part = n % parts.length;
      const expert = Math.floor(n / parts.length) % 256;
      const layer = Math.floor(n / parts.length / 256);
      const shape = part % 2 === 1 ? [16, 56] : part === 4 ? [7168, 2048] : [2048, 7168];
      return {
        name: `model.language_model.layers.${layer}.mlp.experts.${expert}.${parts[part]}`,
        dtype: /** @type {const} */ ('BF16'),
        shape,
      };
    });
    const header = encodeHeader(specs, { format: 'pt' });
    headerBytes += header.length;
    const fd = openSync(join(folder, file), 'w');
    writeSync(fd, header);
    ftruncateSync(fd, header.length + (layOutTensors(specs).end.at(-1) ?? 0));
    closeSync(fd);
    for (const { name } of specs) weightMap.push([name, file]);
  }
  if (shards === 1) return { headerMegabytes: headerBytes / 1e6, indexMegabytes: 0 };
  const index = join(folder, 'model.safetensors.index.json');
  writeFileSync(index, encodeIndex({ metadata: { total_size: 0 }, weightMap }));
  return { headerMegabytes: headerBytes / 1e6, indexMegabytes: statSync(index).size / 1e6 };
}
