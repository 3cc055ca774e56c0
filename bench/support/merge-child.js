/**
 * One merge in a process of its own, so that its memory and its start-up can be seen from outside. The
 * argument is JSON: `{average: AverageOptions}`, `{many: request of mergeMany}` or `{grid: GridOptions}`. Prints JSON:
 * seconds of the merge, seconds to import what it needs, seconds of the processor (user and system, all threads).
 */
const start = performance.now();
const job = JSON.parse(process.argv[2]);
const { average, grid } = await import('ckpt-merge');
const { mergeMany } = await import('./merge.js');
const imported = performance.now();
if (job.average) await average(job.average);
else if (job.grid) await grid(job.grid);
else await mergeMany(job.many);
const done = performance.now();
const { user, system } = process.cpuUsage();
const result = {
  seconds: (done - imported) / 1000,
  import_seconds: (imported - start) / 1000,
  cpu_seconds: (user + system) / 1e6,
  max_rss_mb: process.resourceUsage().maxRSS / 1024,
};
console.log(JSON.stringify(result));
