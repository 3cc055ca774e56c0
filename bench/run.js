/**
 * The benches: `npm run bench -- [NAME...] [--size 1.05e9] [--rounds 5] [--tensors 92000] [--dir DIR] [--keep]`. Prints tables and writes bench/results/NAME.json.
 * Data goes to DIR (default: a folder under the system's temporary folder; $CKPT_MERGE_BENCH_DIR) and is removed at the end without --keep.
 * Needs the built package (`npm ci`, or `npm run build`); peers need Python, see bench/peers/README.md.
 */
import { rmSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createContext } from './support/context.js';
import { machine, save } from './support/measure.js';

const BENCHES = [
  'bound',
  'peers',
  'cold',
  'latency',
  'memory',
  'outputs',
  'dtypes',
  'small-tensors',
  'planning',
  'startup',
  'f32-accumulator',
  'micro',
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string', default: '1.05e9' },
    rounds: { type: 'string', default: '5' },
    tensors: { type: 'string', default: '92000' },
    dir: { type: 'string', default: process.env.CKPT_MERGE_BENCH_DIR ?? join(tmpdir(), 'ckpt-merge-bench') },
    keep: { type: 'boolean', default: false },
  },
});
const unknown = positionals.filter((name) => !BENCHES.includes(name));
if (unknown.length > 0) {
  console.error(`no bench is called ${unknown.join(', ')}; there are: ${BENCHES.join(', ')}`);
  process.exit(2);
}

const context = createContext({
  size: Number(values.size),
  rounds: Number(values.rounds),
  tensors: Number(values.tensors),
  dir: values.dir,
});
const where = machine(context.binding, context.dir);
console.log(
  `${where.cpu}, ${where.cores} cores, ${where.memoryGB} GB, Linux ${where.kernel}, ${where.fileSystem}, Node ${where.node}, ${where.isa}`,
);
if ((loadavg()[0] ?? 0) > 0.5) console.warn(`note: load average ${where.loadAtStart}: other work is running, so trust ratios, not seconds`);
try {
  for (const name of positionals.length > 0 ? positionals : BENCHES) {
    const { default: bench } = await import(`./${name}.js`);
    console.log(`\n== ${name}`);
    const result = await bench(context);
    if (result)
      save(name, { machine: where, options: { size: context.size, rounds: context.rounds, tensors: context.tensors }, ...result });
  }
} finally {
  if (!values.keep) rmSync(context.dir, { recursive: true, force: true });
}
