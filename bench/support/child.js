/** Child processes: their wall time, their output, and what /proc says of their memory while they run. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Node parses the certificate bundle that this variable names before it runs anything; it has nothing to do
 * with merging.
 */
const { NODE_EXTRA_CA_CERTS: _, ...ENVIRONMENT } = process.env;

const MERGE_CHILD = fileURLToPath(new URL('merge-child.js', import.meta.url));

/**
 * Runs a program to its end.
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ sampleMillis?: number, env?: NodeJS.ProcessEnv }} [options] with `sampleMillis`, peaks of
 *   anonymous and total resident memory
 * @returns {Promise<{ seconds: number, stdout: string, anonBytes: number, residentBytes: number }>}
 * @throws Error with the end of stderr when the program fails
 */
export function run(program, args, { sampleMillis = 0, env = ENVIRONMENT } = {}) {
  const start = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  const peaks = { anonBytes: 0, residentBytes: 0 };
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr = (stderr + chunk).slice(-4000);
  });
  const timer = sampleMillis > 0 ? setInterval(() => sample(child.pid, peaks), sampleMillis) : undefined;
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(timer);
      const seconds = (performance.now() - start) / 1000;
      if (code === 0) resolve({ seconds, stdout, ...peaks });
      else reject(new Error(`${program} ${args[0]} ended with ${code}: ${stderr}`));
    });
  });
}

/** Raises the peaks to what the process holds now. */
function sample(/** @type {number | undefined} */ pid, /** @type {{ anonBytes: number, residentBytes: number }} */ peaks) {
  let status;
  try {
    status = readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return; // ended between two samples
  }
  const bytes = (/** @type {string} */ field) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024;
  peaks.anonBytes = Math.max(peaks.anonBytes, bytes('RssAnon'));
  peaks.residentBytes = Math.max(peaks.residentBytes, bytes('VmRSS'));
}

/**
 * One merge in a process of its own.
 * @param {{ average: import('ckpt-merge').AverageOptions } | { grid: import('ckpt-merge').GridOptions } | { many:
 *   Parameters<typeof import('./merge.js').mergeMany>[0] }} job
 * @param {{ sampleMillis?: number }} [options]
 */
export async function mergeInChild(job, options) {
  const result = await run(process.execPath, [MERGE_CHILD, JSON.stringify(job)], options);
  /** @type {{ seconds: number, import_seconds: number, cpu_seconds: number, max_rss_mb: number }} */
  const said = JSON.parse(result.stdout);
  return { ...result, said };
}
