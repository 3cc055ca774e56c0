/**
 * Planning or opening in a process of its own. The argument is JSON: `{plan: AverageOptions}`, `{open: path}`,
 * `{openAll: paths}` (the checkpoints of a run, all kept) or `{discover: path}`. Prints JSON: seconds without
 * the imports, and the peak of resident memory.
 */
import { discoverRun, plan } from 'ckpt-merge';
import { openCheckpoint } from 'ckpt-merge/safetensors';
import { OpenCache } from '../../dist/checkpoints/containers/open-cache.js';
import { openCheckpoint as openOf } from '../../dist/checkpoints/open.js';

const job = JSON.parse(process.argv[2]);
const start = performance.now();
if (job.plan) await plan(job.plan);
else if (job.discover) await discoverRun(job.discover);
else if (job.openAll) {
  const cache = new OpenCache();
  const kept = [];
  for (const path of job.openAll) kept.push(await openOf(path, { cache }));
} else await openCheckpoint(job.open);
const seconds = (performance.now() - start) / 1000;
console.log(JSON.stringify({ seconds, max_rss_mb: process.resourceUsage().maxRSS / 1024 }));
