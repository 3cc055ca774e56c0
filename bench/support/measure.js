/** Interleaved rounds, medians with their range, printed tables, JSON results. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

/** @typedef {{ best: number, median: number, max: number, rounds: number }} Summary */

/** @param {readonly number[]} values @returns {Summary} */
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  return { best: sorted[0], median, max: sorted[sorted.length - 1], rounds: sorted.length };
}

/**
 * Runs every contestant once a round, `rounds` times, starting each round with another one, so that what the
 * machine does meanwhile hits all alike.
 * @template {string} K
 * @param {number} rounds
 * @param {Record<K, () => Promise<number>>} contestants each returns its seconds
 * @param {() => unknown} [before] runs before each contestant, outside what it measures
 * @returns {Promise<Record<K, number[]>>}
 */
export async function interleaved(rounds, contestants, before = () => {}) {
  const names = /** @type {K[]} */ (Object.keys(contestants));
  const seconds = /** @type {Record<K, number[]>} */ (Object.fromEntries(names.map((name) => [name, /** @type {number[]} */ ([])])));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(round + i) % names.length];
      await before();
      seconds[name].push(await contestants[name]());
    }
  }
  return seconds;
}

/**
 * The summary of each contestant.
 * @template {string} K
 * @param {Record<K, number[]>} seconds
 */
export function summaries(seconds) {
  return /** @type {Record<K, Summary>} */ (
    Object.fromEntries(Object.keys(seconds).map((name) => [name, summary(seconds[/** @type {K} */ (name)])]))
  );
}

/** Seconds that `work` takes. @param {() => unknown} work */
export async function timed(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** "0.351 (0.340-0.402)": median and range. @param {Summary} s */
export const spread = (s, digits = 3) => `${s.median.toFixed(digits)} (${s.best.toFixed(digits)}-${s.max.toFixed(digits)})`;

/** Aligned columns on stdout. @param {readonly Record<string, string | number>[]} rows */
export function table(rows) {
  if (rows.length === 0) return;
  const columns = Object.keys(rows[0]);
  const text = (/** @type {string | number | undefined} */ cell) =>
    typeof cell === 'number' ? String(Number.isInteger(cell) ? cell : Number(cell.toPrecision(4))) : (cell ?? '');
  const widths = columns.map((column) => Math.max(column.length, ...rows.map((row) => text(row[column]).length)));
  const line = (/** @type {string[]} */ cells) =>
    cells.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  console.log(line(columns));
  for (const row of rows) console.log(line(columns.map((column) => text(row[column]))));
}

/** Writes bench/results/NAME.json. @param {string} name @param {Record<string, unknown>} result */
export function save(name, result) {
  const folder = fileURLToPath(new URL('../results/', import.meta.url));
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}${name}.json`, `${JSON.stringify(result, null, 2)}\n`);
}

/**
 * What the numbers were measured on.
 * @param {import('../../dist/merge/native/binding.js').NativeBinding} binding
 * @param {string} dir
 */
export function machine(binding, dir) {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    arch: arch(),
    memoryGB: Number((totalmem() / 1e9).toFixed(1)),
    kernel: release(),
    fileSystem: binding.fileSystemType(dir),
    node: process.version,
    isa: binding.cpuInfo().active,
    loadAtStart: Number((loadavg()[0] ?? 0).toFixed(2)),
    commit: commit(),
    date: new Date().toISOString(),
  };
}

function commit() {
  try {
    const cwd = fileURLToPath(new URL('.', import.meta.url));
    return execFileSync('git', ['describe', '--always', '--dirty'], { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null; // a tarball has no repository
  }
}
