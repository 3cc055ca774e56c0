/**
 * Peak memory of merges in processes of their own, from /proc every 2 ms: anonymous against the promise
 * (--memory + 150 MB + 1.5 KB a tensor), and all that is resident (mapped inputs included), which
 * `--cache drop` bounds too.
 */
import { rmSync } from 'node:fs';
import { mergeInChild } from './support/child.js';
import { llama } from './support/data.js';
import { table } from './support/measure.js';

const MB = 1e6;

/** @param {import('./support/context.js').Context} context */
export default async function memory(context) {
  const checkpoints = await context.llamas(10);
  const tensors = llama(context.size).tensors.length;
  const results = [];
  for (const members of [4, 10]) {
    const inputs = checkpoints.slice(0, members).map((c) => c.dir);
    const weights = new Array(members).fill(1 / members);
    for (const threads of [1, 16]) {
      for (const bound of [64 << 20, 256 << 20]) {
        for (const cache of /** @type {const} */ (['keep', 'drop'])) {
          for (const count of [1, 8]) {
            const outputs = Array.from({ length: count }, () => ({ path: context.output(), weights }));
            const many = { inputs, outputs, memory: bound, options: { threads, cache } };
            const { anonBytes, residentBytes } = await mergeInChild({ many }, { sampleMillis: 2 });
            results.push({ members, outputs: count, threads, bound, cache, anonBytes, residentBytes });
            for (const { path } of outputs) rmSync(path, { recursive: true, force: true });
          }
        }
      }
    }
  }
  const rows = results.map((r) => ({ ...r, promised: r.bound + 150 * MB + 1500 * tensors }));
  table(
    rows.map((r) => ({
      'N, K, threads': `${r.members}, ${r.outputs}, ${r.threads}`,
      '--memory MiB': r.bound / 2 ** 20,
      cache: r.cache,
      'anonymous MB': r.anonBytes / MB,
      'promised MB': r.promised / MB,
      'resident MB': r.residentBytes / MB,
      kept: r.anonBytes <= r.promised ? 'yes' : 'NO',
    })),
  );
  return { tensors, results: rows };
}
