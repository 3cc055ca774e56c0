import { basename, dirname, join, resolve } from 'node:path';
import { MergeError } from '../base/errors.ts';
import { storeOf } from '../base/store/store.ts';
import { type LinkGround, lookAt, resolveWithin } from './link-ground.ts';
import { groundOf, type LeftFile, leftOutside, type SideFile, type SideFileOptions } from './side-files.ts';
import { SECTIONS } from './tensors/section.ts';
import type { TensorTable } from './tensors/types.ts';
import type { Checkpoint } from './types.ts';

/** What a trainer saves beside the weights in order to go on. */
export interface TrainingState {
  /** Optimizer, scheduler, RNG and trainer state, files in folders included. Sorted by name. */
  readonly files: readonly SideFile[];
  /** Files and folders of it that are links to elsewhere. Sorted by name. */
  readonly left: readonly LeftFile[];
  /** Whether optimizer state is among the files, and none of it among those left. */
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
const FILES =
  /^(trainer_state\.json|training_args\.(bin|json)|latest|dl_state_dict\.bin|(data_?loader|sampler|iterator)_state(_\d+)?\.json)$/;
const STATES = /^(optim|scheduler|lr_scheduler|scaler|rng_state|random_states|sampler|custom_checkpoint)[^/]*\.(pt|pth|bin|pkl)$/;
const FOLDERS = /^(optimizer(_\d+)?|lr_scheduler|random|global_step\d+)$/;
const OPTIMIZER = /^(optim|global_step)/;
/**
 * DeepSpeed keeps the module in `mp_rank_*_model_states.pt`, and its master weights in the optimizer's files.
 */
const HOLDING_WEIGHTS = /^global_step/;
const WEIGHTS = /^pytorch_model_fsdp/;

/** Ranks times files a rank, of the largest trainings; a folder that links make endless has more. */
const MOST_FILES = 100_000;

/** Whether something of this name in a checkpoint is training state. */
export function isTrainingState(name: string): boolean {
  return FILES.test(name) || STATES.test(name) || FOLDERS.test(name);
}

/**
 * The training state of a checkpoint folder. Names decide; each file is opened once.
 * @throws MergeError E_NOT_FOUND, E_NOT_READABLE for a part that is a broken link or no regular file, E_IO
 */
export async function trainingState(folder: string, { followLinks = false }: SideFileOptions = {}): Promise<TrainingState> {
  const names = await namesOf(folder);
  const chosen = names.filter(isTrainingState);
  const found = new Walk(folder, chosen.length === 0 ? null : await groundOf(folder, followLinks));
  for (const name of chosen) await found.add(name);
  const { files, left } = found;
  return {
    files,
    left,
    optimizer: files.some(({ name }) => OPTIMIZER.test(name)) && !left.some(({ name }) => OPTIMIZER.test(name)),
    holdingWeights: chosen.filter((name) => HOLDING_WEIGHTS.test(name)),
    weights: names.filter((name) => WEIGHTS.test(name)),
  };
}

/** Tables of steps of one run are mostly one. */
const TABLES = new WeakMap<TensorTable, boolean>();

/** Whether a checkpoint has its optimizer's state in itself, be it in tensors or in other values. */
export function holdsOptimizer({ shards, objects }: Pick<Checkpoint, 'shards' | 'objects'>): boolean {
  if (objects?.some(({ section }) => section === 'optimizer')) return true;
  return shards.some(({ tensors }) => {
    if (tensors.sections === null) return false;
    const found = TABLES.get(tensors) ?? tensors.sections.includes(SECTIONS.indexOf('optimizer'));
    TABLES.set(tensors, found);
    return found;
  });
}

/** What OLMo-core keeps of each rank, beside the folder of its tensors; and what others call such a folder. */
const FOLDERS_BESIDE = /^(train|(data_?loader|rng|sampler)(_states?)?)$/;
/** What trainers that call `dcp.save` themselves keep beside it. */
const STATES_BESIDE = /^(train(er|ing)?_state|data_?loader|rng|dl_state|extra_state)[^/]*\.(pt|pth|bin|pkl|json)$/;

/** What a trainer keeps beside a container that has most of its state. */
export interface StateBeside extends Pick<TrainingState, 'files' | 'left'> {
  /** Names in the folder, of files and folders, that are the optimizer's; they are among `files` where asked for. */
  readonly optimizer: readonly string[];
}

/**
 * The same of a trainer whose tensors lie in a container of their own: what it keeps beside that, as accelerate
 * does its whole optimizer.
 * @param options.optimizer whether the optimizer's files are wanted
 */
export async function stateBeside(
  folder: string,
  { followLinks = false, optimizer: wanted }: SideFileOptions & { readonly optimizer: boolean },
): Promise<StateBeside> {
  const chosen = (await namesOf(folder)).filter(
    (name) => (isTrainingState(name) && !HOLDING_WEIGHTS.test(name)) || FOLDERS_BESIDE.test(name) || STATES_BESIDE.test(name),
  );
  const optimizer = chosen.filter((name) => OPTIMIZER.test(name));
  const found = new Walk(folder, chosen.length === 0 ? null : await groundOf(folder, followLinks));
  for (const name of chosen) if (wanted || !optimizer.includes(name)) await found.add(name);
  return { files: found.files, left: found.left, optimizer };
}

/**
 * The optimizer's state of each rank, in parts of many weights: DeepSpeed's, and verl's beside its model's; and
 * the folder of DeepSpeed's universal form.
 */
const OPTIMIZER_OF_RANKS = /^(?:(?:\w+_)?zero_pp_rank_\d+_mp_rank_\d+_optim_states\.pt|optim_world_size_\d+_rank_\d+\.pt|zero)$/;

/** Files in a folder that hold the optimizer's state of ranks. */
export async function optimizersOfRanks(folder: string): Promise<string[]> {
  return (await namesOf(folder)).filter((name) => OPTIMIZER_OF_RANKS.test(name));
}

/** The folder of an optimizer that accelerate keeps beside the one of its weights; null where there is none. */
export async function optimizerAround(folder: string): Promise<string | null> {
  const around = dirname(resolve(folder));
  if (!WEIGHTS.test(basename(resolve(folder)))) return null;
  const name = (await namesOf(around)).find((one) => /^optimizer_\d+$/.test(one));
  return name === undefined ? null : join(around, name);
}

/** What else has a name of its own: FSDP's and DeepSpeed's weights, metrics for TensorBoard. */
const OF_TRAINER = /^(pytorch_model_fsdp(_\d+)?(\.bin)?|mp_rank_\d+_model_states\.pt|zero_to_fp32\.py|events\.out\.tfevents\..*)$/;
/** Forms of files in a folder of the trainer's; others there somebody may have put there. */
const FORMS_IN_FOLDERS = /\.(pt|pth|bin|pkl|distcp|npy|npz|safetensors|json|ya?ml)$|^\.metadata$/;

/** Whether a folder of this name in a checkpoint is the trainer's own. */
export function isTrainersFolder(name: string): boolean {
  return FOLDERS.test(name) || FOLDERS_BESIDE.test(name) || OPTIMIZER_OF_RANKS.test(name) || OF_TRAINER.test(name);
}

/**
 * Whether a file is surely what a trainer saved in order to go on. Stricter than the rules by which files stay behind:
 * those are of names that may be anything, as `optimum_notes.txt`.
 * @param inFolder whether it lies in a folder of the trainer's
 */
export function isTrainersFile(name: string, inFolder: boolean): boolean {
  if (inFolder && FORMS_IN_FOLDERS.test(name)) return true;
  return isTrainingState(name) || STATES_BESIDE.test(name) || OPTIMIZER_OF_RANKS.test(name) || OF_TRAINER.test(name);
}

/** A file that lies beside a checkpoint's folder and not in it; null where there is none, or a link leads elsewhere. */
export async function besideFolder(folder: string, name: string, { followLinks = false }: SideFileOptions): Promise<SideFile | null> {
  const around = dirname(resolve(folder));
  if ((await namesOf(folder)).includes(name) || !(await namesOf(around)).includes(name)) return null;
  const found = new Walk(around, await groundOf(around, followLinks));
  await found.add(name);
  return found.files[0] ?? null;
}

class Walk {
  readonly files: SideFile[] = [];
  readonly left: LeftFile[] = [];
  readonly #folder: string;
  readonly #ground: LinkGround;
  #seen = 0;

  constructor(folder: string, ground: LinkGround) {
    this.#folder = folder;
    this.#ground = ground;
  }

  async add(name: string): Promise<void> {
    const path = join(this.#folder, name);
    if (++this.#seen > MOST_FILES) {
      throw new MergeError(
        'E_NOT_READABLE',
        `${path}: the training state has more than ${MOST_FILES} files, or its links run in a circle`,
        {
          details: { file: path },
        },
      );
    }
    const within = await resolveWithin(path, this.#ground);
    if ('leadsTo' in within) this.left.push(leftOutside(name, within));
    else if ((await storeOf(path).stat(path)).kind !== 'folder') this.files.push({ name, ...(await lookAt(path, within.real)) });
    else for (const inner of await namesOf(path)) await this.add(`${name}/${inner}`);
  }
}

async function namesOf(folder: string): Promise<string[]> {
  const entries = await storeOf(folder).list(folder);
  return (entries ?? []).map(({ name }) => name).sort();
}
