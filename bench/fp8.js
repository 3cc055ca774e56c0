/**
 * Quantised matrices against BF16 ones of as many elements, four members in the page cache, one file and one
 * call each: dequantise, average, quantise anew. The rate that counts is elements of the output a second.
 */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { dtypeByName, MXFP4 } from '../dist/base/dtype.js';
import { encodeFloat, FLOAT_BYTES } from '../dist/base/numbers/float.js';
import { interleaved, spread, summaries, table, timed } from './support/measure.js';

const MEMBERS = 4;
const COLS = 7168;
const STRIPS = 8;
const WEIGHTS = Float64Array.from({ length: MEMBERS }, (_, n) => (n + 1) / 10);

const code = (/** @type {string} */ name) => (name === 'MXFP4' ? MXFP4 : /** @type {{ code: number }} */ (dtypeByName(name)).code);
const bytesOf = (/** @type {string} */ encoding, /** @type {number} */ elements) =>
  encoding === 'MXFP4' ? elements / 2 : elements * FLOAT_BYTES[/** @type {'BF16'} */ (encoding)];

/**
 * @type {{ name: string, from: string, to: string, block?: [number, number], scale?: string, transpose?:
 *   boolean }[]}
 */
const CASES = [
  { name: 'BF16', from: 'BF16', to: 'BF16' },
  { name: 'FP8, blocks of 128 x 128', from: 'F8_E4M3', to: 'F8_E4M3', block: [128, 128], scale: 'F32' },
  { name: 'FP8, a scale a row', from: 'F8_E4M3', to: 'F8_E4M3', block: [1, COLS], scale: 'F32' },
  { name: 'FP8 blocks to BF16', from: 'F8_E4M3', to: 'BF16', block: [128, 128], scale: 'F32' },
  { name: 'FP8 without scales', from: 'F8_E4M3', to: 'F8_E4M3' },
  { name: 'MXFP4', from: 'MXFP4', to: 'MXFP4', block: [1, 32], scale: 'U8' },
  { name: 'MXFP4 to BF16, transposed', from: 'MXFP4', to: 'BF16', block: [1, 32], scale: 'U8', transpose: true },
];

/** @param {import('./support/context.js').Context} context */
export default async function fp8(context) {
  const rows = Math.max(1, Math.floor(context.size / 16 / COLS / STRIPS / 128)) * STRIPS * 128;
  const elements = rows * COLS;
  const { binding, cores } = context;
  /** @type {Record<string, string[]>} */
  const paths = {};
  for (const encoding of ['BF16', 'F8_E4M3', 'MXFP4']) {
    paths[encoding] = Array.from({ length: MEMBERS }, (_, n) => join(context.dir, `matrix-${encoding}-${n}.bin`));
    for (const [n, path] of paths[encoding].entries()) makeMatrix(path, encoding, elements, n);
    await context.warm(paths[encoding]);
  }
  const run = (/** @type {(typeof CASES)[number]} */ each) => async () => {
    const path = context.output();
    const inputs = /** @type {string[]} */ (paths[each.from]).map((file) => binding.openInput(file, 'map'));
    const engine = binding.createEngine({ threads: cores, memoryBytes: 256 << 20, maxInputs: MEMBERS, maxOutputs: 1, reads: false });
    const output = binding.openOutput(path, bytesOf(each.to, elements) + SCALES, { reopen: false });
    const seconds = await timed(() => (each.block ? requantise : combine)(engine, inputs, output, each, rows));
    output.close();
    engine.close();
    for (const input of inputs) input.close();
    rmSync(path);
    return seconds;
  };
  const contestants = Object.fromEntries(CASES.map((each) => [each.name, run(each)]));
  const seconds = summaries(await interleaved(context.rounds, contestants, () => context.prime(2 * elements)));
  for (const path of Object.values(paths).flat()) rmSync(path, { force: true });
  const rate = (/** @type {string} */ name) => elements / /** @type {{ median: number }} */ (seconds[name]).median;
  const results = CASES.map(({ name }) => ({
    name,
    seconds: seconds[name],
    elementsPerSecond: rate(name),
    ofBF16: rate(name) / rate('BF16'),
  }));
  table(results.map((r) => ({ form: r.name, seconds: spread(r.seconds), 'G elements/s': r.elementsPerSecond / 1e9, 'of BF16': r.ofBF16 })));
  return { members: MEMBERS, elements, results };
}

/** Room for the scales of any case behind the codes. */
const SCALES = 64 << 20;

/**
 * A file of codes, finite all, and behind them scales from 2^-12 to 2^-8 of any dtype. @param {string} path
 * @param {string} encoding @param {number} elements @param {number} seed
 */
function makeMatrix(path, encoding, elements, seed) {
  const fd = openSync(path, 'w');
  // xorshift32
  let state = seed + 1;
  const words = () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const codes = Buffer.alloc(16 << 20);
  const view = new DataView(codes.buffer, codes.byteOffset, codes.length);
  for (let at = 0; at < codes.length; at += 4) view.setUint32(at, words(), true);
  if (encoding === 'BF16') {
    // Exponents from 2^-16 to 2^-1.
    for (let at = 1; at < codes.length; at += 2) codes[at] = /** @type {number} */ (codes[at] & 0x87) | 0x38;
  } else if (encoding === 'F8_E4M3') {
    for (let at = 0; at < codes.length; at++) if (/** @type {number} */ (codes[at] & 0x7f) === 0x7f) codes[at] = 0;
  }
  for (let left = bytesOf(encoding, elements); left > 0; left -= codes.length) writeSync(fd, codes, 0, Math.min(left, codes.length));
  const scales = Buffer.alloc(SCALES);
  const scaleView = new DataView(scales.buffer, scales.byteOffset, scales.length);
  if (encoding === 'MXFP4') for (let b = 0; b < SCALES; b++) scales[b] = 115 + (words() % 5);
  else if (encoding === 'F8_E4M3')
    for (let at = 0; at < SCALES; at += 4) encodeFloat('F32', 2 ** -12 * (1 + (words() % 1000) / 100), scaleView, at / 4);
  writeSync(fd, scales);
  closeSync(fd);
}

/**
 * @param {import('../dist/merge/native/binding.js').NativeEngine} engine @param
 *   {import('../dist/merge/native/handles.js').NativeInput[]} files
 * @param {import('../dist/merge/native/handles.js').NativeOutput} output @param {(typeof CASES)[number]} each
 *   @param {number} rows
 */
function combine(engine, files, output, each, rows) {
  const count = rows * COLS;
  return engine.combine({
    files,
    outputs: [output],
    count: Float64Array.of(count),
    file: Int32Array.from(files, (_, n) => n),
    offset: new Float64Array(MEMBERS),
    dtype: new Uint8Array(MEMBERS).fill(code(each.from)),
    outOffset: Float64Array.of(0),
    outDtype: Uint8Array.of(code(each.to)),
    table: Int32Array.of(0),
    weights: WEIGHTS,
    cell: Int32Array.of(0, 1),
    cellEnd: Float64Array.of(count),
    cancel: new Int32Array(1),
  });
}

/**
 * @param {import('../dist/merge/native/binding.js').NativeEngine} engine @param
 *   {import('../dist/merge/native/handles.js').NativeInput[]} files
 * @param {import('../dist/merge/native/handles.js').NativeOutput} output @param {(typeof CASES)[number]} each
 *   @param {number} rows
 */
function requantise(engine, files, output, each, rows) {
  const [blockRows, blockCols] = /** @type {[number, number]} */ (each.block);
  const stripRows = rows / STRIPS;
  const own = Array.from({ length: STRIPS }, (_, s) => s);
  const scaleBytes = { F32: 4, U8: 1 }[/** @type {'F32'} */ (each.scale)];
  const scalesBefore = (/** @type {number} */ s) => ((s * stripRows) / blockRows) * Math.ceil(COLS / blockCols) * scaleBytes;
  const quantised = each.to === each.from;
  const repeat = (/** @type {number} */ value) => own.map(() => value);
  const codesAt = (/** @type {string} */ encoding, /** @type {number} */ s) => bytesOf(encoding, s * stripRows * COLS);
  const all = rows * COLS;
  return engine.requantise({
    files,
    outputs: [output],
    rows: Float64Array.from(repeat(stripRows)),
    cols: Float64Array.from(repeat(COLS)),
    blockRows: Float64Array.from(repeat(blockRows)),
    blockCols: Float64Array.from(repeat(blockCols)),
    file: Int32Array.from(own.flatMap(() => files.map((_, n) => n))),
    offset: Float64Array.from(own.flatMap((s) => files.map(() => codesAt(each.from, s)))),
    encoding: new Uint8Array(STRIPS * MEMBERS).fill(code(each.from)),
    scaleFile: Int32Array.from(own.flatMap(() => files.map((_, n) => n))),
    scaleOffset: Float64Array.from(own.flatMap((s) => files.map(() => bytesOf(each.from, all) + scalesBefore(s)))),
    scaleDtype: new Uint8Array(STRIPS * MEMBERS).fill(code(/** @type {string} */ (each.scale))),
    outOffset: Float64Array.from(own, (s) => codesAt(each.to, s)),
    outEncoding: Uint8Array.from(repeat(code(each.to))),
    outScaleOffset: Float64Array.from(own, (s) => (quantised ? bytesOf(each.to, all) + scalesBefore(s) : -1)),
    outScaleDtype: Uint8Array.from(repeat(code(/** @type {string} */ (each.scale)))),
    powerOfTwo: new Uint8Array(STRIPS),
    transpose: Float64Array.from(repeat(each.transpose ? stripRows : 0)),
    amax: new Float64Array(STRIPS).fill(Number.NaN),
    table: new Int32Array(STRIPS),
    weights: WEIGHTS,
    newest: Int32Array.from(repeat(quantised ? MEMBERS - 1 : -1)),
    cancel: new Int32Array(1),
  });
}
