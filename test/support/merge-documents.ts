import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HeldFolder } from '../../src/base/disk/held-folder.ts';
import { readOwner } from '../../src/base/disk/owner.ts';
import { SYSTEM } from '../../src/base/disk/system.ts';
import type { Random } from '../../src/base/numbers/random.ts';
import { readHeader } from '../../src/checkpoints/containers/safetensors/read-header.ts';
import { readIndex } from '../../src/checkpoints/containers/safetensors/read-index.ts';
import { snapshots } from '../../src/checkpoints/run/hub-cache.ts';
import { withTokens } from '../../src/checkpoints/run/token-source.ts';
import { readLog, readTrainingState } from '../../src/checkpoints/states.ts';
import type { Checkpoint } from '../../src/checkpoints/types.ts';
import { readDemoConfig } from '../../src/cli/demo/config.ts';
import { readJournals } from '../../src/merge/output/journal.ts';
import { Kinship } from '../../src/merge/plan/inputs/kinship.ts';
import { rewriteConfigDtype, withoutQuantisation } from '../../src/merge/record/config-dtype.ts';
import { mergeCard } from '../../src/merge/record/merge-card.ts';
import { parseProvenance } from '../../src/merge/record/parse-provenance.ts';
import { buildProvenance } from '../../src/merge/record/provenance.ts';
import { quantisationConfig } from '../../src/model/quantised/config.ts';
import { namingContext } from '../../src/model/roles/context.ts';
import { CONFIG_KEYS, configNumber, readConfigText, readModelConfig } from '../../src/model/roles/model-config.ts';
import { configuredExperts } from '../../src/model/roles/moe-checks.ts';
import { parseRecipe } from '../../src/recipe/file/parse.ts';
import { expandGrid } from '../../src/recipe/grid/expand.ts';
import { parseGrid } from '../../src/recipe/grid/parse.ts';
import { readDecayFactors, readRateCurve } from '../../src/recipe/schedule/decay-files.ts';
import { recordsOfRound } from '../../src/upkeep/watch/history.ts';
import { newState, readWatchState } from '../../src/upkeep/watch/state.ts';
import { type DocumentReader, inMemory, oneOf, refusedAtMost, written } from './document-reader.ts';
import { jsonMutator, textMutator, yamlMutator } from './mutate.ts';
import { runOfSteps, stepsFrom } from './run-objects.ts';

const CONFIG = {
  architectures: ['OlmoeForCausalLM'],
  model_type: 'olmoe',
  vocab_size: 256,
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 4,
  intermediate_size: 32,
  num_experts: 4,
  num_experts_per_tok: 2,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  hidden_act: 'silu',
  dtype: 'bfloat16',
  text_config: { torch_dtype: 'float16', num_experts: 8, rope_parameters: { rope_type: 'default' } },
  quantization_config: {
    quant_method: 'fp8',
    weight_block_size: [128, 128],
    config_groups: { group_0: { weights: { num_bits: 8, block_structure: [128, 128] } } },
  },
  id2label: { 0: 'a' },
  limits: [0, 1.5],
};

const GRID = `run: ../runs/moe
windows: [125B, 5000steps, 10ckpt]
endpoints: [newest, 'every:250B', 12000]
strides: [1, 2]
method: [wsm, ema]
decay: [linear, minus-sqrt]
half-life: 20B
controls: [reverse, 'scramble-seeds:1-2']
dtype: [BF16, F32]
policies:
  plain: []
  newest-routers: [{ role: routers, use: newest }]
stage-starts: [300B, 20000steps]
tokens-per-step: 25M
`;
/** Forty saves, 25B tokens apart. */
const FORTY = runOfSteps(stepsFrom(1000, 1000, 40), 25e6);

const WATCH = { time: '2026-11-21T10:00:00Z', checkpoint: 'checkpoint-2', step: 2, tokens: null };
const RECORD = {
  ...WATCH,
  members: [{ name: 'checkpoint-2', step: 2, tokens: null, weight: 1 }],
  ...{ output: 'merged-2', seconds: 1.5, hook: null, error: null },
};
const WATCH_STATE = {
  ...newState('../run'),
  ...{ done: [['checkpoint-1', 's']], bad: [['checkpoint-0', 's']], pins: ['checkpoint-1'], trash: [{ output: 'merged-0', digest: 'd' }] },
  merges: [{ output: 'merged-1', digest: 'd' }],
  copies: [
    [
      'checkpoint-1',
      {
        copy: 'checkpoint-1',
        signature: 's',
        content: 'c',
        step: 1,
        bytes: 9,
        copyBytes: 3,
        loses: ['notes.txt'],
        verified: 'full',
        look: '1 2',
      },
    ],
  ],
  accumulator: { output: 'accumulator-1', digest: 'd', fingerprint: 'f', step: 1, tokens: 2 },
  pending: { signature: 's', outputs: [{ output: 'merged-2', digest: 'd' }], records: [RECORD] },
};

const PROVENANCE = buildProvenance({
  ...{ toolVersion: '1.2.3', output: '/data/merged', planDigest: 'd', dtypeChanges: ['BF16 to F32: 12 tensors'] },
  recipe: {
    ...{
      method: 'ema',
      alpha: 0.2,
      parameters: { alpha: 0.2, reverse: true },
      normalized: false,
      dtype: 'F32',
      purpose: null,
      optimizer: null,
    },
    ...{ policies: [{ policy: 'role=router', weights: [1, 0] }], allowMixedDtypes: false, allowUnknown: false, like: null },
    members: [1000, 2000].map((step) => ({
      ...{ path: `/data/run/checkpoint-${step}`, step, tokens: step * 4e6, weight: 0.5, bytes: 1, fingerprint: 'f' },
    })),
  },
  files: [{ name: 'model.safetensors', bytes: 20, crc: 0xab }],
  warnings: [{ code: 'W_NONFINITE', message: 'NaN' }],
  timings: { seconds: 1.5, bytesRead: 24, bytesWritten: 20 },
});

const RECIPE = `# a recipe
inputs: run
tokens-per-step: 4M
like: run/checkpoint-1
outputs:
  - path: merged-{step}
    select: &s { last: 10, every: 8B }
    method: ema
    half-life: 20B
    dtype: BF16
    policies:
      - { role: router, use: newest }
      - { name: '*.bias', use: average }
  - path: other
    select: *s
    weights: [0.25, 0.75]
`;

const README = `---
license: apache-2.0
tags: [a, "b", 'c']
base_model:
- org/a
- "org/b" # the start
language: en
datasets: /data/private
---
# A model
`;

const HEADER = {
  __metadata__: { format: 'pt' },
  'model.embed_tokens.weight': { dtype: 'BF16', shape: [4, 2], data_offsets: [0, 16] },
  'model.layers.0.mlp.up_proj.weight': { dtype: 'F32', shape: [2], data_offsets: [16, 24] },
};

const TRAINER = {
  best_metric: null,
  global_step: 20,
  log_history: [
    { step: 10, loss: 2.5, grad_norm: 1, learning_rate: 0.1 },
    { step: 20, eval_loss: 1.5 },
    { step: 20, loss: 1.5 },
  ],
  num_input_tokens_seen: 4096,
};
const NANOTRON = {
  metas: { last_train_step: 5, consumed_tokens_total: 100, data_stages: [{ name: 'a' }, { name: 'b' }], last_stage_idx: 1 },
};
const OWNER = {
  ...{ id: 'abc', name: 'OUT', kind: 'folder', identity: 'i', identityParts: { a: 'b' }, request: 'r', parentsMade: 0, released: true },
  ...{ pid: 1, bootId: 'b', pidNamespace: 'p', startTime: '1' },
};
const UNIT = {
  ...{ file: 'model.safetensors', start: 0, end: 4, crc: 1, nonfinite: [{ row: 0, member: 0, nan: 1, inf: 0, saturated: 0 }] },
  ...{ rounding: [{ role: 'mlp', tensors: 1, elements: 2, error: 0.5, change: 1, saturated: 0 }], crc32: [{ row: 0, bytes: 4, crc: 1 }] },
};

/** Of a folder that is a checkpoint in name only. */
const checkpointAt = (path: string) => ({ kind: 'folder', path }) as Checkpoint;

async function configuration(text: string, folder: string, random: Random): Promise<void> {
  rewriteConfigDtype(text, 'F32');
  withoutQuantisation(text);
  writeFileSync(join(folder, 'config.json'), text);
  const checkpoint = checkpointAt(folder);
  await readConfigText(checkpoint);
  const config = await readModelConfig(checkpoint);
  namingContext(config);
  quantisationConfig(config);
  configuredExperts(config);
  for (const keys of Object.values(CONFIG_KEYS)) configNumber(config, keys);
  // What is compared with another one is read as above, and takes longer.
  if (random() > 0.2) return;
  await refusedAtMost(() => readDemoConfig(folder));
  const plain = join(folder, 'plain');
  mkdirSync(plain, { recursive: true });
  writeFileSync(join(plain, 'config.json'), JSON.stringify(CONFIG));
  const inputs = [checkpointAt(plain), checkpoint].map((c) => ({ checkpoint: c, stage: null })) as never;
  const draft = {
    output: { path: 'out' },
    kind: 'folder',
    inputs,
    schedule: { weights: Float64Array.of(0.5, 0.5) },
    siblings: true,
  } as const;
  await new Kinship({ allowStages: false, allowConfigs: false }).check(draft);
}

const TABLES = {
  decay: '1, 0.75\n0.5 # a comment\n[0.25]\n',
  curve: 'step,lr\n0,0.1\n100,1e-3\n200,0\n',
  tokens: 'step,tokens\n100,4B\n200,8_000M\n',
};
const RUN = {
  path: 'run',
  checkpoints: [{ path: 'run/checkpoint-150', name: 'checkpoint-150', step: 150, tokens: null }],
  warnings: [],
} as never;

export const MERGE_DOCUMENTS: readonly DocumentReader[] = [
  { name: 'config.json', mutate: jsonMutator(CONFIG), read: configuration },
  {
    name: 'an index',
    mutate: jsonMutator({
      metadata: { total_size: 24 },
      weight_map: { 'a.weight': 'model-1.safetensors', 'b.weight': 'model-2.safetensors' },
    }),
    read: written('model.safetensors.index.json', (path) => readIndex(path)),
  },
  {
    name: 'a safetensors header',
    mutate: jsonMutator(HEADER),
    read: async (text, folder, random) => {
      const header = Buffer.from(text);
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(random() < 0.05 ? BigInt(Math.floor(random() * 2 ** 53)) : BigInt(header.length));
      const path = join(folder, 'model.safetensors');
      writeFileSync(path, Buffer.concat([length, header, Buffer.alloc(24)]));
      await readHeader(path);
    },
  },
  {
    name: 'trainer_state.json',
    mutate: oneOf([TRAINER, TRAINER]),
    read: written('trainer_state.json', async (_, folder) => [await readTrainingState(folder), await readLog([folder])]),
  },
  {
    name: "nanotron's metadata",
    mutate: jsonMutator(NANOTRON),
    read: written('checkpoint_metadata.json', (_, folder) => readTrainingState(folder)),
  },
  {
    name: "levanter's metadata",
    mutate: jsonMutator({ step: 5, is_temporary: true }),
    read: written('metadata.json', (_, f) => readTrainingState(f)),
  },
  {
    name: "OLMo-core's metadata",
    mutate: jsonMutator({ ephemeral: true, a: [1] }),
    read: written('.metadata.json', (_, f) => readTrainingState(f)),
  },
  {
    name: 'a ref of the Hub cache',
    mutate: textMutator(`${'0'.repeat(40)}\n`),
    read: written('refs/main', (_, folder) => {
      if (!existsSync(join(folder, 'snapshots'))) mkdirSync(join(folder, 'snapshots'));
      return snapshots(folder);
    }),
  },
  { name: 'a provenance', mutate: jsonMutator(PROVENANCE), read: inMemory((text) => parseProvenance(text, 'p.json')) },
  {
    name: 'the README of a member',
    mutate: yamlMutator(README),
    read: inMemory((text) => mergeCard(PROVENANCE, { name: 'merged', sourceReadme: text })),
  },
  { name: 'a recipe', mutate: yamlMutator(RECIPE), read: inMemory((text) => parseRecipe('r.yaml', text, (path) => path)) },
  {
    name: 'a grid file',
    mutate: yamlMutator(GRID),
    read: inMemory(async (text) => {
      const grid = parseGrid('g.yaml', text, (path) => path);
      for (const { axes } of (await expandGrid(grid, FORTY)).arms) JSON.stringify(axes);
    }),
    seldom: 5,
  },
  { name: 'decay factors', mutate: textMutator(TABLES.decay), read: written('decay.txt', (path) => readDecayFactors(path, 3)) },
  { name: 'a learning-rate curve', mutate: textMutator(TABLES.curve), read: written('curve.csv', (path) => readRateCurve(path)) },
  {
    name: 'a tokens file',
    mutate: textMutator(TABLES.tokens),
    read: written('tokens.csv', (path) => withTokens(RUN, { tokensFile: path })),
  },
  { name: 'a batch schedule', mutate: textMutator('0:2M,50000:4M'), read: inMemory((text) => withTokens(RUN, { batchSchedule: text })) },
  {
    name: 'the state of a watch',
    mutate: jsonMutator(WATCH_STATE),
    read: written('.merge-watch/state.json', async (path) => {
      const held = await HeldFolder.open(SYSTEM, join(path, '..'));
      try {
        return await readWatchState(held, '../run');
      } finally {
        await held.close();
      }
    }),
  },
  {
    name: 'the history of a watch',
    mutate: jsonMutator(RECORD),
    read: written('history.jsonl', (_, folder) => recordsOfRound(folder, 1, RECORD)),
  },
  { name: 'the owner of a partial', mutate: jsonMutator(OWNER), read: written('owner.json', (_, folder) => readOwner(folder)) },
  { name: 'a journal', mutate: jsonMutator(UNIT), read: written('journal.ndjson', (_, folder) => readJournals(folder, folder)) },
];
