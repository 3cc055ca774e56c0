/**
 * Against what people use: the same four checkpoints merged by ckpt-merge, a streaming torch loop, a running
 * bf16 sum and mergekit, each in a fresh process, in turn; once with nobody flushing the output and once with
 * everybody. Wall time holds start-up and imports; "net" does not.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { mergeInChild, run } from './support/child.js';
import { interleaved, spread, summary, table } from './support/measure.js';

const MEMBERS = 4;
const PYTHON = process.env.CKPT_MERGE_BENCH_PYTHON ?? 'python3';
const MERGEKIT_PYTHON = process.env.CKPT_MERGE_BENCH_MERGEKIT_PYTHON ?? PYTHON;

/**
 * @typedef {object} Tool
 * @property {string} name
 * @property {number | null} goal how many times our wall time it should take, at least
 * @property {(inputs: string[], output: string, sync: boolean) => ReturnType<typeof run>} merge
 */

/** A script of bench/peers. @returns {Tool & { python: string, imports: string }} */
function script(
  /** @type {string} */ name,
  /** @type {string} */ file,
  /** @type {string} */ python,
  /** @type {string} */ imports,
  /** @type {number | null} */ goal,
) {
  return {
    name,
    goal,
    python,
    imports,
    merge: (inputs, output, sync) => runScript(python, file, [...inputs, '--output', output, ...(sync ? ['--sync'] : [])]),
  };
}

/** -B: no compiled copies beside the scripts. */
function runScript(/** @type {string} */ python, /** @type {string} */ file, /** @type {string[]} */ args) {
  return run(python, ['-B', fileURLToPath(new URL(`peers/${file}`, import.meta.url)), ...args]);
}

const PEERS = [
  script('torch loop', 'torch_loop.py', PYTHON, 'torch, safetensors', 8),
  script('torch bf16 running sum', 'torch_bf16_running_sum.py', PYTHON, 'torch, safetensors', null),
  script('mergekit linear', 'mergekit_linear.py', MERGEKIT_PYTHON, 'mergekit.merge', 16),
];

/** @type {Tool} */
const OURS = {
  name: 'ckpt-merge',
  goal: null,
  merge: (inputs, output, sync) => mergeInChild({ average: { inputs, output, method: 'sma', sync } }),
};

/** @param {import('./support/context.js').Context} context */
export default async function peers(context) {
  /** @type {Tool[]} */
  const tools = [OURS];
  for (const peer of PEERS) {
    const reason = await run(peer.python, ['-c', `import ${peer.imports}`]).then(
      () => null,
      (error) => String(error.message).trim().split('\n').at(-1),
    );
    if (reason === null) tools.push(peer);
    else console.log(`skipped: ${peer.name}: ${reason}`);
  }
  const inputs = (await context.llamas(MEMBERS)).map((c) => c.dir);

  const contests = [false, true].flatMap((sync) =>
    tools.map((tool) => ({ tool, sync, label: sync ? `${tool.name}, synced` : tool.name, runs: /** @type {ChildReport[]} */ ([]) })),
  );
  const seconds = await interleaved(
    context.rounds,
    Object.fromEntries(
      contests.map(({ tool, sync, label, runs }) => [
        label,
        async () => {
          const output = context.output();
          const result = await tool.merge(inputs, output, sync);
          runs.push(lastLine(result.stdout));
          rmSync(output, { recursive: true, force: true });
          return result.seconds;
        },
      ]),
    ),
    () => context.prime(3 * context.size),
  );
  const measured = contests.map(({ tool, sync, label, runs }) => ({
    tool,
    sync,
    label,
    runs,
    wall: summary(seconds[label]),
    net: summary(runs.map((report) => report.seconds)),
  }));
  const results = measured.map(({ tool, sync, label, runs, wall, net }) => {
    const ours = /** @type {typeof measured[number]} */ (measured.find((m) => m.tool === OURS && m.sync === sync));
    return { label, goal: tool.goal, wall, net, times: wall.median / ours.wall.median, timesNet: net.median / ours.net.median, runs };
  });
  table(
    results.map((r) => ({
      tool: r.label,
      'wall s': spread(r.wall, 2),
      times: r.times,
      goal: r.goal ?? '',
      'net of start-up s': spread(r.net, 2),
      'times net': r.timesNet,
      'max RSS MB': Math.max(...r.runs.map((report) => report.max_rss_mb)),
    })),
  );
  return { members: MEMBERS, results, differences: await countDifferences(context, inputs, tools) };
}

/**
 * @typedef {{ seconds: number, import_seconds: number, max_rss_mb: number, version?: string }} ChildReport
 */

/** The JSON that a child prints last, after whatever its libraries print. @returns {ChildReport} */
function lastLine(/** @type {string} */ stdout) {
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

/** One merge of each tool, compared with the float64 oracle (which needs torch). */
async function countDifferences(
  /** @type {import('./support/context.js').Context} */ context,
  /** @type {string[]} */ inputs,
  /** @type {Tool[]} */ tools,
) {
  if (!tools.some((tool) => PEERS.slice(0, 2).some((peer) => peer === tool))) return null;
  const folder = context.output();
  mkdirSync(folder);
  try {
    const outputs = tools.map((tool) => `${folder}/${tool.name.replaceAll(' ', '-')}`);
    for (const [i, tool] of tools.entries()) await tool.merge(inputs, outputs[i], false);
    const counted = JSON.parse((await runScript(PYTHON, 'count_differences.py', [...inputs, '--outputs', ...outputs])).stdout);
    const rows = tools.map((tool, i) => {
      const different = counted.different[outputs[i]];
      return {
        tool: tool.name,
        elements: counted.elements,
        'differ from float64': different,
        percent: (100 * different) / counted.elements,
      };
    });
    console.log('');
    table(rows);
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
