/**
 * The benches:
 * `npm run bench -- [NAME...] [--size 1.05e9] [--rounds 5] [--tensors 92000] [--seeds 1000] [--dir DIR] [--keep]`. Prints
 * tables and writes bench/results/NAME.json. Data goes to a folder `ckpt-merge-bench` in DIR (default:
 * $CKPT_MERGE_BENCH_DIR, or the system's temporary folder) and is removed at the end without --keep; at full
 * size it takes up to 30 GB of disk, and 20 GB of memory if all of it is to stay in the page cache. Needs the
 * built package (`npm ci`, or `npm run build`); peers need Python, see bench/peers/README.md.
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
  'grid',
  'grid-planning',
  'fp8',
  'gram',
  'windows',
  'dtypes',
  'small-tensors',
  'boxes',
  'containers',
  'parts',
  'names',
  'planning',
  'planning-latency',
  'naming',
  'inspect',
  'discovery',
  'routers',
  'suggest',
  'regret',
  'coverage',
  'claims',
  'ranks',
  'ranks-sim',
  'startup',
  'python',
  'f32-accumulator',
  'micro',
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string', default: '1.05e9' },
    rounds: { type: 'string', default: '5' },
    tensors: { type: 'string', default: '92000' },
    seeds: { type: 'string', default: '1000' },
    dir: { type: 'string', default: process.env.CKPT_MERGE_BENCH_DIR ?? tmpdir() },
    keep: { type: 'boolean', default: false },
  },
});
const unknown = positionals.filter((name) => !BENCHES.includes(name));
if (unknown.length > 0) {
  console.error(`no bench is called ${unknown.join(', ')}; there are: ${BENCHES.join(', ')}`);
  process.exit(2);
}

const [size, rounds, tensors, seeds] = [values.size, values.rounds, values.tensors, values.seeds].map(Number);
const context = createContext({ size, rounds, tensors, seeds, dir: join(values.dir, 'ckpt-merge-bench'), keep: values.keep });
const where = machine(context.binding, context.dir);
console.log(
  `${where.cpu}, ${where.cores} cores, ${where.memoryGB} GB, Linux ${where.kernel}, ${where.fileSystem}, Node ${where.node}, ${where.isa}`,
);
if ((loadavg()[0] ?? 0) > 0.5) console.warn(`note: load average ${where.loadAtStart}: other work is running, so trust ratios, not seconds`);
try {
  for (const name of positionals.length > 0 ? positionals : BENCHES) {
    console.log(`\n== ${name}`);
    try {
      const { default: bench } = await import(`./${name}.js`);
      const result = await bench(context);
      if (result !== null) save(name, { machine: where, options: { size, rounds, tensors, seeds }, ...result });
    } catch (error) {
      // The other benches still say something.
      console.error(error);
      process.exitCode = 1;
    }
  }
} finally {
  if (!values.keep) rmSync(context.dir, { recursive: true, force: true });
}
