import { join } from 'node:path';
import { MergeError } from '../base/errors.ts';
import { storeOf } from '../base/store/store.ts';
import type { SideFile } from './side-files.ts';

/** What a trainer saves beside the weights in order to go on. */
export interface TrainingState {
  /** Optimizer, scheduler, RNG and trainer state, files in folders included. Sorted by name. */
  readonly files: readonly SideFile[];
  /** Whether optimizer state is among them. */
  readonly optimizer: boolean;
  /** Folders among them in which a trainer keeps weights, too, and from which it would load them. */
  readonly holdingWeights: readonly string[];
  /** Weights in a form of the trainer's own: never state, and the ones that it would load. */
  readonly weights: readonly string[];
}

/**
 * Names of transformers' Trainer and accelerate; `latest` and `global_stepN` of DeepSpeed; folders of FSDP
 * (`optimizer_0`) and nanotron.
 */
const FILES = /^(trainer_state\.json|training_args\.(bin|json)|latest|dl_state_dict\.bin)$/;
const STATES = /^(optim|scheduler|lr_scheduler|scaler|rng_state|random_states|sampler|custom_checkpoint)[^/]*\.(pt|pth|bin|pkl)$/;
const FOLDERS = /^(optimizer(_\d+)?|lr_scheduler|random|global_step\d+)$/;
const OPTIMIZER = /^(optim|global_step)/;
/**
 * DeepSpeed keeps the module in `mp_rank_*_model_states.pt`, and its master weights in the optimizer's files.
 */
const HOLDING_WEIGHTS = /^global_step/;
const WEIGHTS = /^pytorch_model_fsdp/;

/**
 * The training state of a checkpoint folder. Names decide; nothing is opened.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE for a part that is a broken link or no regular file, E_IO
 */
export async function trainingState(folder: string): Promise<TrainingState> {
  const names = await list(folder);
  const chosen = names.filter((name) => FILES.test(name) || STATES.test(name) || FOLDERS.test(name));
  const files: SideFile[] = [];
  for (const name of chosen) await walk(folder, name, files);
  return {
    files,
    optimizer: files.some(({ name }) => OPTIMIZER.test(name)),
    holdingWeights: chosen.filter((name) => HOLDING_WEIGHTS.test(name)),
    weights: names.filter((name) => WEIGHTS.test(name)),
  };
}

async function walk(folder: string, name: string, files: SideFile[]): Promise<void> {
  const path = join(folder, name);
  const stat = await storeOf(path).stat(path);
  if (stat.kind === 'folder') for (const inner of await list(path)) await walk(folder, `${name}/${inner}`, files);
  else if (stat.kind === 'file') files.push({ name, path, size: stat.size });
  else throw new MergeError('E_NOT_READABLE', `${path} is not a regular file`, { details: { file: path } });
}

async function list(folder: string): Promise<string[]> {
  const entries = await storeOf(folder).list(folder);
  return (entries ?? []).map(({ name }) => name).sort();
}
