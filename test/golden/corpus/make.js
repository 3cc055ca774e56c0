// A corpus of merges, dense and mixture-of-experts, in float and quantised storage, with policies and many
// outputs: the SHA-256 of the tensor bytes of every file that they write. digests.json was made by the build
// whose bytes torch and numpy had confirmed (demo/make, test/golden/make); a change of one of its lines is a
// change of the arithmetic promise.
//
//   node test/golden/corpus/make.js [MERGE_JS] > test/golden/corpus/digests.json
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const top = fileURLToPath(new URL('../../../', import.meta.url));
const dense = join(top, 'demo/runs/dense');
const moe = join(top, 'demo/runs/moe');
const quantised = (name) => [1, 2].map((step) => join(top, 'test/golden/quantised', name, `step-${step}`));
const layout = (name) => join(top, 'test/golden/layouts', name);

/** Arguments of `merge average` by the name of the case, but for `-o`. */
const AVERAGES = {
  'dense-sma-of-all': [dense],
  'dense-sma-4': [dense, '--last', '4'],
  'dense-wma': [dense, '--last', '10', '--method', 'wma'],
  'dense-ema-half-life': [dense, '--last', '6', '--method', 'ema', '--half-life', '400steps'],
  'dense-ema-normalized': [dense, '--last', '6', '--method', 'ema-normalized', '--alpha', '0.3'],
  'dense-wsm-1-sqrt': [dense, '--last', '8', '--method', 'wsm', '--decay', '1-sqrt'],
  'dense-extrapolate': [dense, '--method', 'extrapolate', '--gamma', '0.5', '--window', '2'],
  'dense-scrambled': [dense, '--last', '5', '--method', 'wma', '--scramble', '7'],
  'dense-f32': [dense, '--last', '3', '--dtype', 'F32'],
  'dense-f16': [dense, '--last', '3', '--dtype', 'F16'],
  'dense-for-resume': [dense, '--last', '3', '--for', 'resume'],
  'dense-weights': [`${dense}/checkpoint-6000:1.5`, `${dense}/checkpoint-5000:-0.5`],
  'dense-one': [`${dense}/checkpoint-6000`],
  'moe-sma': [moe, '--last', '10'],
  'moe-newest-router': [moe, '--last', '5', '--router', 'newest'],
  'moe-experts-apart': [moe, '--last', '5', '--method', 'ema', '--policy', 'role=experts:method=sma'],
  'fused-and-one-by-one': [layout('olmoe-fused'), layout('olmoe-original')],
  'one-by-one-and-fused': [layout('olmoe-original'), layout('olmoe-fused')],
  'qwen-fused-and-one-by-one': [layout('qwen3_moe-fused'), layout('qwen3_moe-original')],
  ...Object.fromEntries(
    ['block', 'channel', 'e5m2', 'mxfp4', 'power-of-two', 'tensor'].flatMap((name) => [
      [`quantised-${name}`, [...quantised(name), '--dtype', 'same']],
      [`quantised-${name}-as-bf16`, [...quantised(name), '--dtype', 'BF16']],
    ]),
  ),
};

/** Recipes of many outputs from one read. */
const RECIPES = {
  'dense-grid': `inputs: ${dense}
outputs:
  - { path: OUT/sma, select: { last: 4 } }
  - { path: OUT/wma, select: { last: 6 }, method: wma }
  - { path: OUT/ema, select: { last: 10, every: 400steps }, method: ema, alpha: 0.3, dtype: F32 }
  - { path: 'OUT/slid-{step}', select: { last: 3, from: 5000 }, sliding: true }
`,
  'moe-grid': `inputs: ${moe}
outputs:
  - { path: OUT/sma, select: { last: 4 } }
  - { path: OUT/oldest-router, select: { last: 4 }, router: oldest }
`,
};

/** SHA-256 of the bytes after the header of every safetensors file below a folder. */
function digests(folder) {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.safetensors'));
  return files.sort().map((name) => {
    const bytes = readFileSync(join(folder, name));
    const data = bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
    return [name, createHash('sha256').update(data).digest('hex')];
  });
}

/** Every file that the corpus writes, as `case/file`, with the digest of its tensor bytes. */
export function corpus(bin) {
  const work = mkdtempSync(join(tmpdir(), 'ckpt-merge-corpus-'));
  const merge = (...args) => execFileSync(process.execPath, [bin, ...args, '-q'], { stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const found = [];
    const keep = (name, out) => found.push(...digests(out).map(([file, digest]) => [`${name}/${file}`, digest]));
    for (const [name, args] of Object.entries(AVERAGES)) {
      const out = join(work, name);
      merge('average', ...args, '-o', out);
      keep(name, out);
    }
    for (const [name, recipe] of Object.entries(RECIPES)) {
      const file = join(work, `${name}.yaml`);
      writeFileSync(file, recipe.replaceAll('OUT', join(work, name)));
      merge('run', file);
      keep(name, join(work, name));
    }
    return Object.fromEntries(found);
  } finally {
    rmSync(work, { recursive: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const bin = process.argv[2] ?? join(top, 'bin/merge.js');
  process.stdout.write(`${JSON.stringify(corpus(bin), null, 2)}\n`);
}
