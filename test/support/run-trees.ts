import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type FixtureTensor, safetensorsBytes, writeCheckpoint } from './checkpoints.ts';

/** One line of `log_history`, as the Trainer writes it. */
export interface FixtureLog {
  readonly step: number;
  readonly loss?: number;
  readonly learning_rate?: number;
}

/** A checkpoint folder of a run. Without `step`, `tokens`, `log` or `state` it has no trainer_state.json. */
export interface RunEntry {
  /** Folder inside the run; may be several deep. */
  readonly name: string;
  /** `global_step` of trainer_state.json. */
  readonly step?: number;
  /** `num_input_tokens_seen` of trainer_state.json. */
  readonly tokens?: number;
  readonly log?: readonly FixtureLog[];
  /** More keys of trainer_state.json; a string is its whole content. */
  readonly state?: Readonly<Record<string, unknown>> | string;
  /** config.json. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** One list a shard; one small BF16 tensor when absent. */
  readonly shards?: readonly (readonly FixtureTensor[])[];
  /** Of the tensors' data; default the entry's place in the list, so that checkpoints differ. */
  readonly seed?: number;
  /** More files, by path inside the folder. */
  readonly files?: Readonly<Record<string, string>>;
}

const TENSORS: readonly FixtureTensor[] = [{ name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [4, 2] }];

/** Writes the checkpoints of a run and returns the run's folder. */
export function writeRun(folder: string, entries: readonly RunEntry[]): string {
  mkdirSync(folder, { recursive: true });
  for (const [
    i,
    { name, shards = [TENSORS], seed = i, config = { model_type: 'llama', dtype: 'bfloat16' }, files, ...rest },
  ] of entries.entries()) {
    const state = trainerState(rest);
    writeCheckpoint(join(folder, name), shards, seed, {
      'config.json': `${JSON.stringify(config, null, 2)}\n`,
      ...(state !== null && { 'trainer_state.json': state }),
      ...files,
    });
  }
  return folder;
}

/**
 * trainer_state.json with its keys sorted and indented by two, as `TrainerState.save_to_json` writes it; null
 * where nothing of it is asked for.
 */
function trainerState({ step, tokens, log, state }: Pick<RunEntry, 'step' | 'tokens' | 'log' | 'state'>): string | null {
  if (typeof state === 'string') return state;
  if (step === undefined && tokens === undefined && log === undefined && state === undefined) return null;
  const fields: Record<string, unknown> = {
    best_metric: null,
    epoch: 1.5,
    ...(step !== undefined && { global_step: step }),
    is_world_process_zero: true,
    log_history: (log ?? []).map((line) => ({ epoch: 1.5, grad_norm: 0.5, ...line })),
    logging_steps: 10,
    num_input_tokens_seen: tokens ?? 0,
    total_flos: 1.25e18,
    ...state,
  };
  return `${JSON.stringify(Object.fromEntries(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1))), null, 2)}\n`;
}

/**
 * `count` entries `checkpoint-N`, `interval` steps apart, each with its state: `tokensPerStep` tokens a step,
 * loss falling, a constant rate.
 */
export function steadyEntries(count: number, { interval = 100, tokensPerStep = 1000, rate = 3e-4 } = {}): RunEntry[] {
  const steps = Array.from({ length: count }, (_, i) => (i + 1) * interval);
  return steps.map((step, i) => ({
    name: `checkpoint-${step}`,
    step,
    tokens: step * tokensPerStep,
    log: steps.slice(0, i + 1).map((logged) => ({ step: logged, loss: 2 + 100 / logged, learning_rate: rate })),
  }));
}

/**
 * Writes files by path: text, or `{ link }` for a symbolic link to its target. A path that ends in `/` is an
 * empty folder.
 */
export function writeTree(folder: string, files: Readonly<Record<string, string | Uint8Array | { readonly link: string }>>): string {
  mkdirSync(folder, { recursive: true });
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name);
    mkdirSync(name.endsWith('/') ? path : dirname(path), { recursive: true });
    if (typeof content === 'object' && 'link' in content) symlinkSync(content.link, path);
    else if (!name.endsWith('/')) writeFileSync(path, content);
  }
  return folder;
}

/**
 * The Hub cache of a repo whose branches are the checkpoints of a run: `refs/NAME` holds a commit,
 * `snapshots/COMMIT/` links into `blobs/`.
 * @returns the folder `models--org--name` under `cache`
 */
export function writeHubCache(cache: string, repo: string, revisions: readonly RunEntry[]): string {
  const folder = join(cache, `models--${repo.replace('/', '--')}`);
  for (const [i, revision] of revisions.entries()) {
    const commit = (i + 1).toString(16).padStart(40, '0');
    const blobs = join(folder, 'blobs', commit);
    writeRun(blobs, [{ seed: i, ...revision, name: 'files' }]);
    const names = ['model.safetensors', 'config.json', ...Object.keys(revision.files ?? {})];
    writeTree(folder, {
      [`refs/${revision.name}`]: commit,
      ...Object.fromEntries(names.map((name) => [`snapshots/${commit}/${name}`, { link: `../../blobs/${commit}/files/${name}` }])),
    });
  }
  return folder;
}

/**
 * A checkpoint as nanotron writes it: a file for each tensor and rank, whose one tensor is called `data`. F32
 * values by the path of the file below `model/`.
 */
export function writeNanotron(
  folder: string,
  step: number,
  files: Readonly<Record<string, readonly number[]>>,
  { tokens = step * 1000, version = '1.4' } = {},
): string {
  for (const [name, values] of Object.entries(files)) {
    const data = new Uint8Array(Float32Array.from(values).buffer);
    const bytes = safetensorsBytes([{ name: 'data', dtype: 'F32', shape: [values.length], data }], 0, {
      version,
      local_global_slices_pairs: '((slice(0,1),),)',
    });
    writeTree(folder, { [`model/${name}`]: bytes });
  }
  const metas = {
    consumed_train_samples: step,
    consumed_tokens_total: tokens,
    last_train_step: step,
    last_stage_idx: 0,
    data_stages: [{ name: 'all' }],
  };
  return writeTree(folder, {
    'checkpoint_metadata.json': JSON.stringify({ version, tp: 2, dp: 1, metas }),
    'model_config.json': '{"hidden_size": 2}',
    'config.yaml': 'general: {}\n',
    'optimizer/optimizer_pp-0-of-1.pt': 'o',
    'lr_scheduler/lr_scheduler.pt': 'l',
    'random/tp-0.pt': 'r',
  });
}
