/**
 * The router report of a large mixture of experts: 60 layers of 256 experts, hidden size 7,168 (the routers
 * of a DeepSeek-V3), 10 checkpoints, of the experts' own weights only small matrices. In a process of its
 * own, with its peak of anonymous memory; and what a plan spends on making sure that experts kept their
 * places.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { OpenCache } from '../dist/checkpoints/containers/open-cache.js';
import { openCheckpoint } from '../dist/checkpoints/open.js';
import { routerConflicts } from '../dist/model/places/swapped-experts.js';
import { run } from './support/child.js';
import { makeCheckpoint } from './support/data.js';
import { table, timed } from './support/measure.js';

const BIN = fileURLToPath(new URL('../bin/merge.js', import.meta.url));
const LAYERS = 60;
const EXPERTS = 256;
const HIDDEN = 7168;
const CHECKPOINTS = 10;
const MEMORY = 256 * 2 ** 20;

/** @param {import('./support/context.js').Context} context */
export default async function routers(context) {
  const folders = [];
  for (let seed = 0; seed < CHECKPOINTS; seed++) {
    const folder = join(context.dir, 'routers', `checkpoint-${(seed + 1) * 1000}`);
    const paths = makeCheckpoint(folder, { tensors: tensors(), config, shards: 4, seed });
    await context.warm(paths);
    folders.push(folder);
  }
  const report = await run(process.execPath, [BIN, 'routers', ...folders, '--json'], { sampleMillis: 20 });
  const { layers, sample, inputs, bytesRead, verdict } = JSON.parse(report.stdout);
  const cache = new OpenCache();
  const opened = await Promise.all(folders.map((folder) => openCheckpoint(folder, { cache })));
  let found = 0;
  const plan = await timed(async () => {
    const { conflicts, warnings } = await routerConflicts(opened);
    found = conflicts.length + warnings.length;
  });
  context.discard('routers');
  if (verdict.kind !== 'no-objection' || found > 0) throw new Error(`a healthy run was not called that: ${verdict.headline}`);
  table([
    {
      what: `report of ${layers.length} layers x ${EXPERTS} experts x ${CHECKPOINTS}`,
      seconds: report.seconds,
      'goal s': 60,
      'anonymous MB': report.anonBytes / 1e6,
      'promised MB': (MEMORY + 150e6) / 1e6,
    },
    { what: 'places of experts, for a plan', seconds: plan, 'goal s': '-', 'anonymous MB': '-', 'promised MB': '-' },
  ]);
  return {
    layers: LAYERS,
    experts: EXPERTS,
    hidden: HIDDEN,
    checkpoints: CHECKPOINTS,
    sample,
    inputs,
    bytesRead,
    reportSeconds: report.seconds,
    anonBytes: report.anonBytes,
    planSeconds: plan,
  };
}

const config = {
  model_type: 'deepseek_v3',
  num_hidden_layers: LAYERS,
  n_routed_experts: EXPERTS,
  num_experts_per_tok: 8,
  n_group: 8,
  topk_group: 4,
  norm_topk_prob: true,
  routed_scaling_factor: 2.5,
  scoring_func: 'sigmoid',
  topk_method: 'noaux_tc',
};

function tensors() {
  /** @type {import("./support/data.js").Tensor[]} */
  const list = [];
  for (let layer = 0; layer < LAYERS; layer++) {
    const add = (/** @type {string} */ name, /** @type {number[]} */ ...shape) =>
      list.push({ name: `model.layers.${layer}.${name}`, shape });
    add('post_attention_layernorm.weight', HIDDEN);
    add('mlp.gate.weight', EXPERTS, HIDDEN);
    add('mlp.gate.e_score_correction_bias', EXPERTS);
    for (let expert = 0; expert < EXPERTS; expert++) {
      for (const part of ['gate_proj', 'up_proj']) add(`mlp.experts.${expert}.${part}.weight`, 16, 64);
      add(`mlp.experts.${expert}.down_proj.weight`, 64, 16);
    }
  }
  return list;
}
