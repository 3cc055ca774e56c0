import { dirname } from 'node:path';
import { type Conflict, MergeError, type Warning } from '../../../base/errors.ts';
import { optionName, optionWith, worded } from '../../../base/option-words.ts';
import { ZERO_STATE } from '../../../checkpoints/containers/torch/file-names.ts';
import { checkRepoId } from '../../../checkpoints/hub.ts';
import type { LeftFile, SideFile, SideFileOptions } from '../../../checkpoints/side-files.ts';
import { sectionOf } from '../../../checkpoints/tensors/section.ts';
import {
  besideFolder,
  holdsOptimizer,
  optimizerAround,
  optimizersOfRanks,
  stateBeside,
  trainingState,
} from '../../../checkpoints/training-state.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import { stateTensor } from '../../../model/roles/optimizer-state.ts';
import type { OptimizerUse } from '../../../recipe/policy/resumed.ts';
import type { OutputFormat } from '../../../recipe/types.ts';
import type { OutputRequest } from '../types.ts';

/**
 * Whether what a trainer keeps beside its weights has a place in the output itself: DCP holds all of it, and so
 * do a single file of torch.save and DeepSpeed's files of ranks. Beside pytorch_model.bin, as beside safetensors,
 * it lies in other files.
 */
export function holdsState(format: OutputFormat, { kind, fragments }: Pick<Checkpoint, 'kind' | 'fragments'>): boolean {
  return format === 'dcp' || (format === 'torch' && (kind === 'file' || fragments !== undefined));
}

/** What an output whose container holds the trainer's state has of it. */
export interface KeptState {
  /**
   * What becomes of the optimizer's: none where the newest member has none, `no moments` where it has but the weights in
   * float32 and steps, as before the first update.
   */
  readonly optimizer: 'kept' | 'no moments' | 'left out' | 'none';
  /** Names of what lies beside the newest member and may be of its trainer, but stays there. */
  readonly left: readonly string[];
}

/** What an output that training goes on from has beside the weights. */
export interface StartState {
  /** Null where the container of the output has no place for it. */
  readonly kept: KeptState | null;
  readonly files: readonly SideFile[];
  /** Of what was asked for, links that lead elsewhere. */
  readonly left: readonly LeftFile[];
  readonly warnings: readonly Warning[];
  readonly conflicts: readonly Conflict[];
}

/**
 * A request with what `for: resume` (PMA-init: a merge as the start of more training) means when nothing else
 * is said: weights in float32, because a mean has bits that its members' dtype would round away, and no
 * optimizer state, because there is none that belongs to a mean. A container that holds the trainer's
 * state has all that it expects: dtypes as they are stored, and the optimizer's state of the newest member.
 * @throws MergeError E_OPTION where `optimizer` is given for another purpose, and for a base model that is no
 *   id of the Hub
 */
export function withStartDefaults(output: OutputRequest, format: OutputFormat, layout: Layout): OutputRequest {
  const holds = holdsState(format, layout);
  if (output.baseModelId !== undefined) checkRepoId(output.baseModelId);
  const { optimizer, extraState, weightsFrom } = output;
  if (format !== 'dcp') {
    const only =
      optimizer === 'average' && !holds ? optionWith('optimizer', 'average') : extraState === undefined ? null : optionName('extraState');
    if (only !== null) {
      const about =
        optimizer === 'average' && !holds
          ? "checkpoints of DCP, single files of torch.save and DeepSpeed's ZeRO 1 and 2"
          : 'checkpoints of DCP';
      throw new MergeError('E_OPTION', `${output.path}: ${only} is about ${about}, and this output is ${printedFormat(format)}`, {
        details: { file: output.path },
        help: wayToState(layout, extraState !== undefined),
      });
    }
  }
  if (output.for === 'resume' && holds) return { ...output, optimizer: optimizer ?? 'newest', weightsFrom: weightsFrom ?? 'master' };
  if (output.for === 'resume') return { ...output, dtype: output.dtype ?? 'F32', optimizer: output.optimizer ?? 'drop' };
  if (output.optimizer === undefined) return output;
  throw new MergeError('E_OPTION', `${output.path}: ${optionName('optimizer')} is ${output.optimizer}, but the output is not for resume`, {
    details: { file: output.path },
    help: `Add ${optionWith('for', 'resume')}, or leave ${optionName('optimizer')} out.`,
  });
}

type Layout = Pick<Checkpoint, 'kind' | 'fragments'> & Partial<Pick<Checkpoint, 'form'>>;

const printedFormat = (format: OutputFormat): string => (format === 'torch' ? 'of torch.save' : format);

/** How to have the trainer's state in the output, where the members are of a container that holds it. */
function wayToState({ kind, form }: Layout, ofDcp: boolean): string {
  if (form?.kind === 'dcp') return `Write it as its members are, with ${optionWith('format', 'dcp')}, or leave the option out.`;
  if (form?.kind === 'torch' && kind === 'file' && !ofDcp)
    return `Write it as its members are: name OUT.pt and leave out ${optionWith('format', 'safetensors')}; or leave the option out.`;
  return 'Leave the option out: these members are no such checkpoints.';
}

/**
 * The training state that comes along with an output: none, or with `optimizer: newest` that of its newest
 * member as it is.
 * @throws MergeError what listing the newest member's folder throws
 */
export async function startState(
  { path, optimizer, for: purpose }: OutputRequest,
  kind: 'folder' | 'file',
  newest: Newest,
  options: SideFileOptions & { readonly format?: OutputFormat | undefined } = {},
): Promise<StartState> {
  const none = { kept: null, files: [], left: [], warnings: [] };
  const { format } = options;
  const refused = (code: Conflict['code'], message: string, help?: string): StartState => {
    return { ...none, conflicts: [{ code, message, file: code === 'E_OPTION' ? path : newest.path, ...(help !== undefined && { help }) }] };
  };
  if (purpose === 'resume' && format !== undefined && holdsState(format, newest))
    return format === 'dcp'
      ? besideContainer(newest, path, optimizer ?? 'newest', options)
      : newest.fragments !== undefined
        ? besideRanks(newest, options)
        : inFile(newest, path, optimizer ?? 'newest');
  if (optimizer !== 'newest' || (format !== undefined && holdsState(format, newest))) return { ...none, conflicts: [] };
  if (kind === 'file') {
    const message = `${path} is a single file, which has no place for optimizer state: name a folder, or use ${optionWith('optimizer', 'drop')}`;
    return refused('E_OPTION', message);
  }
  const state = newest.kind === 'folder' ? await trainingState(newest.path, options) : null;
  const ofRanks = newest.kind === 'folder' && newest.form?.kind === 'torch' ? await optimizersOfRanks(newest.path) : [];
  if (ofRanks.length > 0) {
    const message = `${newest.path}, the newest member of ${path}, has its optimizer state in ${namesOf(ofRanks)}, in parts that belong to files which only its trainer puts together (${newest.form!.writer}), and these are not written here`;
    return refused('E_NO_OPTIMIZER', message, ofRanks.some((name) => ZERO_STATE.test(name)) ? asItIs() : anew());
  }
  if (state === null || !state.optimizer) {
    const links = (state?.left ?? []).map(({ name, leadsTo }) => `${name} leads to ${leadsTo}`).join(', ');
    const why = links === '' ? '' : worded`: ${links}, outside the checkpoint and its run, and is copied with --follow-links only`;
    if (links === '' && newest.form !== undefined && newest.form.kind !== 'safetensors' && holdsOptimizer(newest)) {
      const { kind: container, writer } = newest.form;
      const message = `${newest.path}, the newest member of ${path}, holds its optimizer state in the files of its container (${writer ?? container}), and safetensors has no place for it`;
      return refused('E_NO_OPTIMIZER', message, anew());
    }
    return refused('E_NO_OPTIMIZER', `${newest.path}, the newest member of ${path}, has no optimizer state to copy${why}`);
  }
  const traps = [
    ...state.holdingWeights.map(
      (name) => `${name} holds weights of its own, and DeepSpeed resumes from those and not from the merged ones`,
    ),
    ...state.weights.map((name) => `${name} holds weights and was left behind, so FSDP cannot resume from ${path} by itself`),
  ];
  const advice = traps.length === 0 ? '' : `; ${traps.join('; ')}: load the merged weights as a model instead of resuming`;
  const message = `${path} has the optimizer, scheduler, RNG and trainer state of ${newest.path}: the moments belong to its weights, not to the merged ones${advice}`;
  return { kept: null, files: state.files, left: state.left, warnings: [{ code: 'W_OPTIMIZER_NEWEST', message }], conflicts: [] };
}

type Newest = Pick<Checkpoint, 'path' | 'kind' | 'shards' | 'objects' | 'fragments'> & Partial<Pick<Checkpoint, 'form'>>;

/** What to do without an optimizer. */
const anew = (): string => worded`Use --optimizer drop: load the merge as a model, and start the optimizer anew.`;

/** How DeepSpeed's own files are written. */
const asItIs = (): string =>
  `${worded`Name a folder, without another --format, --like, --names, --shard-size or --files: all of it is then merged into DeepSpeed's own files.`} ${anew()}`;

const WITHOUT = (): string =>
  worded`Use --optimizer drop, and have the trainer start without an optimizer: there will be none in the merge. Or merge members that were saved with it.`;

/** Whether an optimizer's state has more than weights and steps. Of what is no tensor nothing is known. */
function keptOf({ shards, objects }: Newest): 'kept' | 'no moments' {
  if (objects?.some(({ section }) => section === 'optimizer')) return 'kept';
  const isMore = (name: string): boolean => !BARE.has(stateTensor(name).kind);
  const found = shards.some(({ tensors }) => tensors.names.some((name, row) => sectionOf(tensors, row) === 'optimizer' && isMore(name)));
  return found ? 'kept' : 'no moments';
}

const BARE: ReadonlySet<string> = new Set(['master', 'step']);

/** A file of torch.save has all of the trainer's state in itself. */
function inFile(newest: Newest, output: string, optimizer: OptimizerUse): StartState {
  const has = holdsOptimizer(newest);
  const message = `${newest.path}, the newest member of ${output}, has no optimizer state: it was saved of the model alone`;
  const conflict: Conflict = { code: 'E_NO_OPTIMIZER', message, file: newest.path, help: WITHOUT() };
  const conflicts = has || optimizer === 'drop' ? [] : [conflict];
  return { kept: { optimizer: has ? keptOf(newest) : 'none', left: [] }, files: [], left: [], warnings: [], conflicts };
}

/** DeepSpeed's files have all of its state; the trainer around it may keep its own beside them. */
async function besideRanks(newest: Newest, options: SideFileOptions): Promise<StartState> {
  const { files, left } = await stateBeside(newest.path, { ...options, optimizer: false });
  const script = await besideFolder(newest.path, ZERO_SCRIPT, options);
  const kept = { optimizer: keptOf(newest), left: [] } as const;
  return { kept, files: script === null ? files : [...files, script], left, warnings: [], conflicts: [] };
}

/** What DeepSpeed lays beside the folders of its steps, to make float32 weights from one. */
const ZERO_SCRIPT = 'zero_to_fp32.py';

/** Of DCP, some trainers keep a part of the state in files beside it: accelerate its whole optimizer. */
async function besideContainer(newest: Newest, output: string, optimizer: OptimizerUse, options: SideFileOptions): Promise<StartState> {
  const has = holdsOptimizer(newest);
  const beside =
    newest.kind === 'folder'
      ? await stateBeside(newest.path, { ...options, optimizer: optimizer === 'newest' })
      : { files: [], left: [], optimizer: [] };
  const { files, left, optimizer: own } = beside;
  const conflicts: Conflict[] = [];
  const refuse = (message: string, help: string): void => {
    conflicts.push({
      code: 'E_NO_OPTIMIZER',
      message: `${newest.path}, the newest member of ${output}, ${message}`,
      file: newest.path,
      help,
    });
  };
  const led = left.filter(({ name }) => own.some((one) => name === one || name.startsWith(`${one}/`)));
  if (!has && own.length > 0 && optimizer === 'average') {
    const help = worded`Use --optimizer newest, which copies it, or --optimizer drop and have the trainer start without.`;
    refuse(`has its optimizer state beside its weights, in ${namesOf(own)}, where it is copied and not averaged`, help);
  } else if (!has && led.length > 0) {
    const links = led.map(({ name, leadsTo }) => `${name} leads to ${leadsTo}`).join(', ');
    refuse(
      worded`has its optimizer state elsewhere: ${links}, outside the checkpoint and its run, and is copied with --follow-links only`,
      WITHOUT(),
    );
  } else if (!has && own.length === 0 && optimizer !== 'drop') {
    const around = await optimizerAround(newest.path);
    if (around === null) refuse('has no optimizer state: it was saved of the model alone', WITHOUT());
    else
      refuse(
        `is the folder of the weights alone; its optimizer state lies in ${around}`,
        `Name ${dirname(newest.path)} instead, which has both.`,
      );
  }
  const kept = has ? keptOf(newest) : own.length > 0 && optimizer === 'newest' ? 'kept' : own.length > 0 ? 'left out' : 'none';
  return { kept: { optimizer: kept, left: own.length > 0 && optimizer !== 'newest' ? own : [] }, files, left, warnings: [], conflicts };
}

/** Some names for a sentence. */
function namesOf(names: readonly string[]): string {
  return `${names.slice(0, 3).join(', ')}${names.length > 3 ? ` and ${names.length - 3} more` : ''}`;
}
