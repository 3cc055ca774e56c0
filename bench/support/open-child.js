/**
 * Planning or opening in a process of its own. The argument is JSON: `{plan: AverageOptions}`, `{open: path}`,
 * `{openAll: paths}` (the checkpoints of a run, all kept), `{discover: path}`, `{grid: GridOptions}`, or
 * `{adopt: Recipe}` (what a rank does when another one has planned; then the seconds without and with what it prepared
 * while it waited are printed too, `adopt` and `adoptAhead`). Prints JSON:
 * seconds without the imports, seconds of the processor in this time (user and system, all threads), and the peak of
 * resident memory; of a grid the outputs and the reads.
 */
import { discoverRun, plan, planGrid } from 'ckpt-merge';
import { openCheckpoint } from 'ckpt-merge/safetensors';
import { OpenCache } from '../../dist/checkpoints/containers/open-cache.js';
import { openCheckpoint as openOf } from '../../dist/checkpoints/open.js';
import { resolveRecipe } from '../../dist/merge/members/resolve.js';
import { buildPlan } from '../../dist/merge/plan/build.js';
import { prepare } from '../../dist/merge/plan/prepare.js';
import { adoptedRequest, checkAdopted, planRecord } from '../../dist/merge/ranks/plan-record.js';

const job = JSON.parse(process.argv[2]);
const start = performance.now();
const before = process.cpuUsage();
let planned = {};
if (job.plan) await plan(job.plan);
else if (job.grid) {
  const { outputs, batches } = await planGrid(job.grid);
  planned = { outputs: outputs.length, reads: batches.length };
} else if (job.adopt) planned = await adopted(job.adopt);
else if (job.discover) await discoverRun(job.discover);
else if (job.openAll) {
  const cache = new OpenCache();
  const kept = [];
  for (const path of job.openAll) kept.push(await openOf(path, { cache }));
} else await openCheckpoint(job.open);
const seconds = (performance.now() - start) / 1000;
const { user, system } = process.cpuUsage(before);
const cpu_seconds = (user + system) / 1e6;
console.log(JSON.stringify({ seconds, cpu_seconds, max_rss_mb: process.resourceUsage().maxRSS / 1024, ...planned }));

/** @param {import('ckpt-merge').Recipe} recipe */
async function adopted(recipe) {
  const resolved = await resolveRecipe(recipe);
  const about = { request: '', launch: null, by: null, size: 1, unitBytes: undefined };
  const record = await planRecord(await buildPlan({ ...resolved, recipe }), resolved, about);
  const adopt = async (/** @type {import('../../dist/merge/plan/prepare.js').Prepared | undefined} */ ahead) => {
    const begun = performance.now();
    const own = await buildPlan({ ...adoptedRequest(record), recipe, resume: false }, undefined, ahead);
    await checkAdopted(own, record, { path: '', sampling: null, signal: undefined });
    return (performance.now() - begun) / 1000;
  };
  return { adopt: await adopt(undefined), adoptAhead: await adopt(await prepare(record.resolved)) };
}
