import { fileURLToPath } from 'node:url';
import { run } from './child.js';

const BUILD = fileURLToPath(new URL('../../build', import.meta.url));

/** Builds the core's own bench (native/bench); false, and the reason printed, where that cannot be done. */
export async function buildCoreBench() {
  try {
    await run('cmake', ['--build', BUILD, '--target', 'core_bench']);
    return true;
  } catch (error) {
    const reason = String(error instanceof Error ? error.message : error);
    console.log(`skipped: core_bench cannot be built: ${reason.trim().split('\n').at(-1)}`);
    return false;
  }
}

/**
 * What it prints.
 *
 * @param {'floats' | 'boxes'} what
 * @param {{ dir: string, inputs: number, bytes: number, threads: number, rounds: number }} settings
 */
export async function runCoreBench(what, settings) {
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return JSON.parse((await run(`${BUILD}/native/bench/core_bench`, [what, ...args])).stdout);
}
