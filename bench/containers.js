/**
 * What it costs that checkpoints are those of torch.distributed: four of four ranks, cut by rows, by columns
 * and both ways, merged into safetensors, and those by rows into DCP, too; against the same as safetensors, and
 * against what people do with them. Each merge in a fresh process, in turn.
 */
import { rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mergeInChild, run } from './support/child.js';
import { setName } from './support/context.js';
import { makeDcp, PYTHON, withoutTorch } from './support/dcp.js';
import { interleaved, spread, summary, table } from './support/measure.js';

const MEMBERS = 4;
const FORMS = /** @type {const} */ (['rows', 'columns', 'both']);
/** Rows, and written as DCP again. */
const BACK = 'rows, back';
/** What people do, into one file of torch.save, or from there into DCP. */
const TORCH = { torch: [], 'torch, back': ['--back'] };

/** @param {import('./support/context.js').Context} context */
export default async function containers(context) {
  const missing = await withoutTorch();
  if (missing !== null) console.log(`skipped: torch, whose checkpoints the writer of the tests makes instead: ${missing}`);
  const plain = (await context.llamas(MEMBERS)).map(({ dir }) => dir);
  /** @type {Record<string, string[]>} */
  const inputs = { safetensors: plain };
  for (const form of FORMS) {
    inputs[form] = [];
    for (const from of plain) {
      const to = join(context.dir, `dcp-${form}-${setName('BF16', context.size)}`, basename(from));
      await context.warm(await makeDcp(from, to, form, missing === null));
      inputs[form].push(to);
    }
  }
  await context.warm((await context.llamas(MEMBERS)).flatMap(({ paths }) => paths));

  /** @type {Record<string, { seconds: number[], anonBytes: number[], residentBytes: number[] }>} */
  const said = {};
  const note = (/** @type {string} */ label, /** @type {number} */ net, { anonBytes = 0, residentBytes = 0 }) => {
    said[label] ??= { seconds: [], anonBytes: [], residentBytes: [] };
    said[label].seconds.push(net);
    said[label].anonBytes.push(anonBytes);
    said[label].residentBytes.push(residentBytes);
  };
  /** @type {Record<string, () => Promise<number>>} */
  const contestants = {};
  for (const label of [...Object.keys(inputs), BACK]) {
    const members = label === BACK ? inputs.rows : inputs[label];
    const format = /** @type {'safetensors' | 'dcp'} */ (label === BACK ? 'dcp' : 'safetensors');
    contestants[label] = async () => {
      const output = context.output();
      const result = await mergeInChild({ average: { inputs: members, output, format, sync: false } }, { sampleMillis: 5 });
      note(label, result.said.seconds, result);
      rmSync(output, { recursive: true, force: true });
      return result.seconds;
    };
  }
  for (const [label, options] of missing === null ? Object.entries(TORCH) : []) {
    contestants[label] = async () => {
      const output = context.output();
      const script = fileURLToPath(new URL('peers/torch_dcp_loop.py', import.meta.url));
      const result = await run(PYTHON, ['-B', script, ...inputs.rows, '--output', output, ...options], { sampleMillis: 50 });
      note(label, JSON.parse(result.stdout.trim().split('\n').at(-1) ?? '').seconds, result);
      rmSync(output, { recursive: true, force: true });
      return result.seconds;
    };
  }
  const wall = await interleaved(context.rounds, contestants, () => context.prime(2 * context.size));
  /** Of each round, so that what the machine does meanwhile hits both. */
  const ratio = (/** @type {string} */ a, /** @type {string} */ b) =>
    summary(said[a].seconds.map((seconds, i) => seconds / said[b].seconds[i]));
  const against = {
    ...{ safetensors: 'safetensors', rows: 'safetensors', columns: 'rows', both: 'rows' },
    ...{ [BACK]: 'safetensors', torch: 'rows', 'torch, back': BACK },
  };
  const goals = { rows: 0.85, columns: 0.3, both: 0.3, [BACK]: 0.75, torch: 8, 'torch, back': 8 };
  const results = Object.entries(against).flatMap(([label, of]) => {
    if (said[label] === undefined) return [];
    const rate = label in TORCH ? ratio(label, of) : ratio(of, label);
    const goal = /** @type {Record<string, number>} */ (goals)[label] ?? null;
    const peak = (/** @type {'anonBytes' | 'residentBytes'} */ key) =>
      Math.max(...said[label].anonBytes.map((_, i) => said[label][key][i]));
    const memory = { anonBytes: peak('anonBytes'), residentBytes: peak('residentBytes') };
    return [{ label, of, goal, rate, net: summary(said[label].seconds), wall: summary(wall[label]), ...memory }];
  });
  table(
    results.map((r) => ({
      'checkpoints of': r.label,
      's net of start-up': spread(r.net, 2),
      'wall s': spread(r.wall, 2),
      [missing === null ? 'rate (torch: times)' : 'rate']: spread(r.rate, 2),
      of: r.of,
      goal: r.goal ?? '',
      'anonymous MB': r.anonBytes / 1e6,
      'resident MB': r.residentBytes / 1e6,
    })),
  );
  for (const form of FORMS) context.discard(`dcp-${form}-${setName('BF16', context.size)}`);
  return { members: MEMBERS, byTorch: missing === null, results };
}
