/**
 * Checkpoints of torch.distributed of four ranks, saved by torch itself where it is there, else by the writer
 * of the tests.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './child.js';

export const PYTHON = process.env.CKPT_MERGE_BENCH_PYTHON ?? 'python3';
const RANKS = 4;

/** How matrices are cut: `both` is two by two. @typedef {'rows' | 'columns' | 'both'} Form */

/** Why torch cannot be used; null where it can. */
export async function withoutTorch() {
  return run(PYTHON, ['-c', 'import torch.distributed.checkpoint, safetensors']).then(
    () => null,
    (error) => String(error.message).trim().split('\n').at(-1) ?? '',
  );
}

/**
 * Writes a checkpoint so, unless it is there.
 * @param {string} from a checkpoint of safetensors
 * @param {string} to
 * @param {Form} form
 * @param {boolean} byTorch
 * @returns {Promise<string[]>} the files of its tensors
 */
export async function makeDcp(from, to, form, byTorch) {
  const done = `${to}.complete`;
  if (!existsSync(done)) {
    rmSync(to, { recursive: true, force: true });
    mkdirSync(dirname(to), { recursive: true });
    if (byTorch) await run(PYTHON, ['-B', fileURLToPath(new URL('../peers/write_dcp.py', import.meta.url)), from, to, form]);
    else await (await writer())(from, to, form);
    execFileSync('sync', ['-f', to]);
    writeFileSync(done, '');
  }
  return readdirSync(to).flatMap((name) => (name.endsWith('.distcp') ? [join(to, name)] : []));
}

/**
 * The tests' own, which is TypeScript.
 * @returns {Promise<(from: string, to: string, form: Form) => Promise<unknown>>}
 */
async function writer() {
  const { build } = await import('rolldown');
  const input = fileURLToPath(new URL('../../test/support/dcp-cuts.ts', import.meta.url));
  // In the package, from where it looks for the addon.
  const file = fileURLToPath(new URL('../../build/bench-dcp-cuts.mjs', import.meta.url));
  await build({ input, platform: 'node', output: { file, codeSplitting: false } });
  const { along, both, cutCopy } = await import(file);
  const cuts = { rows: along(0, RANKS), columns: along(1, RANKS), both: both(along(0, 2), along(1, 2)) };
  return (from, to, form) => cutCopy(from, to, cuts[form]);
}
