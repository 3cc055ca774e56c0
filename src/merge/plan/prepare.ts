import { MergeError, type Warning } from '../../base/errors.ts';
import { KnownMetadata } from '../../checkpoints/containers/dcp/known-metadata.ts';
import { DcpTemplates } from '../../checkpoints/containers/dcp/template.ts';
import { OpenCache } from '../../checkpoints/containers/open-cache.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { type DraftOutput, draftOutput } from './inputs/drafts.ts';
import { placeInputs } from './inputs/inputs.ts';
import { Naming } from './inputs/naming.ts';
import { type Ordered, orderInputs } from './inputs/order.ts';
import { inForm } from './outputs/forms.ts';
import { isModelAlone, severalContainers } from './outputs/one-format.ts';
import { formatOf, isFolderPath } from './outputs/output-path.ts';
import { layoutConflicts } from './tensors/layouts.ts';
import { inSomeFiles, resharded } from './tensors/resharded.ts';
import { planTensors } from './tensors/tensors.ts';
import type { PlanRequest } from './types.ts';

/** Bytes in a file where the layout has no shards of its own, as help says. */
const SHARD_SIZE = '5GB';

/** What of a plan the headers of its inputs decide: neither their content nor what lies where outputs are to be. */
export interface Prepared {
  /** With the format of its outputs, where that had to be chosen. */
  readonly request: PlanRequest;
  /** Why all outputs are safetensors, though not all members are; null where nobody has to be told. */
  readonly several: Warning | null;
  readonly ordered: Ordered;
  readonly checkpoints: readonly Checkpoint[];
  readonly naming: Naming | null;
  readonly like: Checkpoint | null;
  readonly layout: Checkpoint;
  readonly format: ReturnType<typeof formatOf>;
  /** Whether outputs are cut into files of another size or number than the layout's. */
  readonly cutting: boolean;
  readonly drafts: readonly DraftOutput[];
  readonly layoutsDiffer: ReturnType<typeof layoutConflicts>;
  /** Tensors by the files of the layout, and by those of the outputs. */
  readonly found: Awaited<ReturnType<typeof planTensors>>;
  readonly cut: Pick<ReturnType<typeof resharded>, 'planned' | 'conflicts'>;
  readonly dcpTemplates: DcpTemplates;
  readonly formed: Awaited<ReturnType<typeof inForm>>;
}

/**
 * Opens the inputs of a request and finds what becomes of each tensor. Writes nothing.
 * @param onOpened is told the inputs as soon as they are open
 * @throws MergeError as `buildPlan` does
 */
export async function prepare(
  given: PlanRequest,
  signal?: AbortSignal,
  onOpened: (checkpoints: readonly Checkpoint[]) => void = () => {},
): Promise<Prepared> {
  if (given.inputs.length === 0) throw new MergeError('E_USAGE', 'no inputs were given', { help: 'Name at least one checkpoint.' });
  if (given.outputs.length === 0) throw new MergeError('E_USAGE', 'no output was given', { help: 'Name one with --output.' });
  const cache = new OpenCache();
  const naming = await Naming.of(given);
  const openAll = async (withState: boolean) => {
    const open = async (path: string): Promise<Checkpoint> => {
      signal?.throwIfAborted();
      const opened = await openCheckpoint(path, { cache, withState });
      return naming === null ? opened : naming.name(opened);
    };
    const ordered = orderInputs(await placeInputs(given, open), given.outputs, given.ordered ?? false);
    return { ordered, open, checkpoints: ordered.inputs.map((i) => i.checkpoint) };
  };
  const stateWanted = wantsState(given);
  let opened = await openAll(stateWanted);
  // Where the newest has none, what others have of it has no place.
  if (stateWanted && opened.checkpoints.at(-1)!.fragments === undefined && opened.checkpoints.some(({ fragments }) => fragments)) {
    opened = await openAll(false);
  }
  const { ordered, open, checkpoints } = opened;
  const several = severalOf(given, ordered);
  const request: PlanRequest = several === null ? given : { ...given, format: 'safetensors' };
  onOpened(checkpoints);
  const like = request.like === undefined ? null : await open(request.like);
  const paths = request.outputs.map(({ path }) => path);
  const cutting = request.shardSize !== undefined || request.files !== undefined;
  const converted = request.outputs.some(({ convert }) => convert === true);
  const newest = like ?? checkpoints.at(-1)!;
  // What training cannot go on from is no checkpoint of DeepSpeed's.
  const modelAlone = newest.fragments !== undefined && request.outputs.every((output) => output.for !== 'resume');
  const isOther = converted || naming !== null || modelAlone;
  const format = request.format ?? formatOf(paths, newest, { converted: isOther, cut: cutting });
  naming?.checkFormat(format);
  const drafts = await Promise.all(request.outputs.map((output, k) => draftOutput(output, k, ordered, like, format)));
  const layoutsDiffer = layoutConflicts(
    drafts.map((d) => ({ path: d.output.path, layout: d.layout })),
    { modelAlone: format === 'safetensors' && drafts.every(({ output }) => isModelAlone(output)) },
  );
  const layout = drafts.at(-1)!.layout;
  const found = await planTensors(layout, checkpoints, drafts, { ...request, format }, signal);
  // As many files as the layout has: what is written of one file alone cannot be gone on with.
  // Files of ranks hold nothing of the model alone.
  const size = modelAlone && format === 'safetensors' && !cutting ? { shardSize: SHARD_SIZE } : request;
  const cut =
    cutting || size !== request
      ? resharded(found, layout, drafts, size)
      : { planned: format === 'dcp' ? inSomeFiles(found, layout, drafts[0]!, layout.files.length) : found, conflicts: [] };
  const dcpTemplates = new DcpTemplates(cache.of(KnownMetadata));
  const formed = await inForm(format, cut.planned, { layout, checkpoints, drafts, dcpTemplates, resized: cutting }, signal);
  return {
    ...{ request, several, ordered, checkpoints, naming, like, layout, format, cutting },
    ...{ drafts, layoutsDiffer, found, cut, dcpTemplates, formed },
  };
}

/**
 * Whether inputs are opened with the state of their optimizers' ranks: training is to go on from all outputs, in the
 * container of the newest, or the model alone is made of the masters that lie there.
 */
function wantsState({ outputs, format, like, names, shardSize, files }: PlanRequest): boolean {
  const ofMasters = outputs.every((output) => output.weightsFrom === 'master' && output.for !== 'resume' && !output.convert);
  if (ofMasters && format !== 'torch') return true;
  return (
    outputs.every((output) => output.for === 'resume' && !output.convert && isFolderPath(output.path)) &&
    (format === undefined || format === 'torch') &&
    [like, names, shardSize, files].every((option) => option === undefined)
  );
}

/** Whether and why all outputs are safetensors, though the newest members of some are not. */
function severalOf(request: PlanRequest, ordered: Ordered): Warning | null {
  const { outputs, format, like, names, shardSize, files } = request;
  if (format !== undefined || like !== undefined || names !== undefined) return null;
  if (outputs.length < 2 || outputs.some((output) => output.convert || !isModelAlone(output))) return null;
  const following = outputs.map(({ path }, k) => ({ path, newest: ordered.inputs[ordered.outputs[k]!.members.at(-1)!]!.checkpoint }));
  return severalContainers(following, { cut: shardSize !== undefined || files !== undefined });
}
