import { type Conflict, MergeError, type Warning } from '../../../base/errors.ts';
import { optionName, optionWith, worded } from '../../../base/option-words.ts';
import { checkRepoId } from '../../../checkpoints/hub.ts';
import type { LeftFile, SideFile, SideFileOptions } from '../../../checkpoints/side-files.ts';
import { statesOfRanks, trainingState } from '../../../checkpoints/training-state.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { OutputFormat } from '../../../recipe/types.ts';
import type { OutputRequest } from '../types.ts';

/**
 * Whether what a trainer keeps beside its weights has a place in the output itself: DCP holds all of it, and so
 * does a single file of torch.save. Beside pytorch_model.bin, as beside safetensors, it lies in other files.
 */
export function holdsState(format: OutputFormat, layout: Pick<Checkpoint, 'kind'>): boolean {
  return format === 'dcp' || (format === 'torch' && layout.kind === 'file');
}

/** What an output that training goes on from has beside the weights. */
export interface StartState {
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
export function withStartDefaults(output: OutputRequest, format: OutputFormat, layout: Pick<Checkpoint, 'kind'>): OutputRequest {
  const holds = holdsState(format, layout);
  if (output.baseModelId !== undefined) checkRepoId(output.baseModelId);
  const { optimizer, extraState, weightsFrom } = output;
  if (format !== 'dcp') {
    const only =
      optimizer === 'average' && !holds ? optionWith('optimizer', 'average') : extraState === undefined ? null : optionName('extraState');
    if (only !== null) {
      throw new MergeError('E_OPTION', `${output.path}: ${only} is about checkpoints of DCP`, {
        details: { file: output.path },
        help: `Add ${optionWith('format', 'dcp')}, or leave it out.`,
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

/**
 * The training state that comes along with an output: none, or with `optimizer: newest` that of its newest
 * member as it is.
 * @throws MergeError what listing the newest member's folder throws
 */
export async function startState(
  { path, optimizer, for: purpose }: OutputRequest,
  kind: 'folder' | 'file',
  newest: Pick<Checkpoint, 'path' | 'kind'> & Partial<Pick<Checkpoint, 'form'>>,
  options: SideFileOptions & { readonly format?: OutputFormat | undefined } = {},
): Promise<StartState> {
  const none = { files: [], left: [], warnings: [] };
  const { format } = options;
  if (purpose === 'resume' && format === 'dcp') {
    const { files, left } = await statesOfRanks(newest.path, options);
    return { ...none, files, left, conflicts: [] };
  }
  if (optimizer !== 'newest' || (format !== undefined && holdsState(format, newest))) return { ...none, conflicts: [] };
  if (kind === 'file') {
    const message = `${path} is a single file, which has no place for optimizer state: name a folder, or use ${optionWith('optimizer', 'drop')}`;
    return { ...none, conflicts: [{ code: 'E_OPTION', message, file: path }] };
  }
  const state = newest.kind === 'folder' ? await trainingState(newest.path, options) : null;
  if (state === null || !state.optimizer) {
    const links = (state?.left ?? []).map(({ name, leadsTo }) => `${name} leads to ${leadsTo}`).join(', ');
    const why = links === '' ? '' : worded`: ${links}, outside the checkpoint and its run, and is copied with --follow-links only`;
    if (newest.form?.kind === 'dcp') {
      const help = worded`Use --optimizer drop: load the merge as a model, and start the optimizer anew.`;
      const message = `${newest.path}, the newest member of ${path}, holds its optimizer state in the files of its container (${newest.form.writer ?? 'DCP'}), and safetensors has no place for it`;
      return { ...none, conflicts: [{ code: 'E_NO_OPTIMIZER', message, file: newest.path, help }] };
    }
    const message = `${newest.path}, the newest member of ${path}, has no optimizer state to copy${why}`;
    return { ...none, conflicts: [{ code: 'E_NO_OPTIMIZER', message, file: newest.path }] };
  }
  const traps = [
    ...state.holdingWeights.map(
      (name) => `${name} holds weights of its own, and DeepSpeed resumes from those and not from the merged ones`,
    ),
    ...state.weights.map((name) => `${name} holds weights and was left behind, so FSDP cannot resume from ${path} by itself`),
  ];
  const advice = traps.length === 0 ? '' : `; ${traps.join('; ')}: load the merged weights as a model instead of resuming`;
  const message = `${path} has the optimizer, scheduler, RNG and trainer state of ${newest.path}: the moments belong to its weights, not to the merged ones${advice}`;
  return { files: state.files, left: state.left, warnings: [{ code: 'W_OPTIMIZER_NEWEST', message }], conflicts: [] };
}
