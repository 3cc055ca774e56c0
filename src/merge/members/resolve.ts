import { MergeError } from '../../base/errors.ts';
import { keysOf, pick } from '../../base/pick.ts';
import { refuse } from '../../base/problems.ts';
import { storeOf } from '../../base/store/store.ts';
import { discoverRun, isRunFolder } from '../../checkpoints/run/discover.ts';
import { withTokens } from '../../checkpoints/run/token-source.ts';
import type { Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { contradictions, PLACEHOLDER } from '../../recipe/file/contradictions.ts';
import { readWeightsFile, type WeightsFile } from '../../recipe/file/weights-file.ts';
import { CHECKS, TOKENS } from '../../recipe/options.ts';
import { memberWarnings } from '../../recipe/select/member-warnings.ts';
import { learningRatePhase } from '../../recipe/select/phase.ts';
import type { Recipe, RecipeOutput } from '../../recipe/types.ts';
import type { OutputRequest, PlanInput, PlanRequest } from '../plan/types.ts';
import { checkpointsAsRun } from './checkpoints-as-run.ts';
import { chooseMembers } from './choose.ts';

/**
 * Finds the runs and members that a recipe speaks of: a request whose inputs are the members of all outputs,
 * in the order of their runs. Checkpoints that are named one by one, and of which nothing is selected, stay
 * as they are: the plan puts them in order.
 *
 * @throws MergeError E_OPTION where entries contradict each other, or runs and checkpoints are mixed; what
 *   discovery, token sources, selections and presets throw; `signal.reason` on an abort
 */
export async function resolveRecipe(recipe: Recipe, signal?: AbortSignal): Promise<PlanRequest> {
  refuse(contradictions(recipe), { several: (count) => `${count} things in the recipe do not go together` });
  const { inputs } = recipe;
  const files = await weightsFilesOf(recipe);
  const outputOf = (output: RecipeOutput): OutputRequest => outputRequest(recipe, output, files);
  const options = pick(recipe, OF_REQUEST);
  if (recipe.outputs.some(({ convert }) => convert)) {
    const input = await theOneCheckpoint(inputs, signal);
    return { ...options, inputs: [input], outputs: recipe.outputs.map(outputOf) };
  }
  const source = pick(recipe, keysOf(TOKENS));
  const counted = Object.keys(source).length > 0;
  const selecting = recipe.outputs.some(choosesMembers);
  const folders = await areRuns(inputs, selecting);
  const choosing = folders || selecting;
  if (!choosing && !counted) return { ...options, inputs, outputs: recipe.outputs.map(outputOf) };

  const named = folders ? null : await checkpointsAsRun(inputs, signal);
  const found =
    named === null
      ? await Promise.all(inputs.map((path) => discoverRun(path, { signal, mixedDtypes: recipe.allowMixedDtypes })))
      : [named.run];
  const runs = counted ? await Promise.all(found.map((run) => withTokens(run, source))) : found;
  if (choosing) return asRequest(runs, recipe, outputOf, signal);
  // Counts of tokens alone choose nothing: the checkpoints stay in the order in which explicit weights may be
  // about them.
  const [{ checkpoints, log, abandoned, warnings }] = runs as [Run];
  const known = new Map(checkpoints.map((checkpoint) => [checkpoint.path, checkpoint]));
  const phase = learningRatePhase(log, checkpoints[0]!.step!, checkpoints.at(-1)!.step!);
  const report = { asked: checkpoints.length, found: checkpoints.length, leftOut: [] };
  const all = [...memberWarnings(checkpoints, { log, abandoned }), ...warnings];
  const selection = { report, excluded: [], siblings: false, phase, spike: null, log, notes: [], warnings: all };
  return {
    ...options,
    inputs: inputs.map((path) => asInput(known.get(named!.paths.get(path)!)!)),
    outputs: recipe.outputs.map((output) => ({ ...outputOf(output), selection })),
  };
}

/** What of a recipe a request says as it is. */
const OF_REQUEST = ['like', 'format', 'shardSize', 'files', 'names', 'config', ...keysOf(CHECKS)] as const;

/** The request of a recipe whose inputs are these runs, with their tokens. @throws what selections and presets throw */
export async function requestOfRuns(runs: readonly Run[], recipe: Recipe, signal?: AbortSignal): Promise<PlanRequest> {
  const files = await weightsFilesOf(recipe);
  return asRequest(runs, recipe, (output) => outputRequest(recipe, output, files), signal);
}

async function asRequest(
  runs: readonly Run[],
  recipe: Recipe,
  outputOf: (output: RecipeOutput) => OutputRequest,
  signal: AbortSignal | undefined,
): Promise<PlanRequest> {
  return { ...pick(recipe, OF_REQUEST), ...(await chosenMembers(runs, recipe, outputOf, signal)) };
}

/** The union of what all outputs choose, and each output by its members' places in it. */
async function chosenMembers(
  runs: readonly Run[],
  recipe: Recipe,
  outputOf: (output: RecipeOutput) => OutputRequest,
  signal: AbortSignal | undefined,
): Promise<Pick<PlanRequest, 'inputs' | 'outputs' | 'ordered'>> {
  const outputs: OutputRequest[] = [];
  const chosen: (readonly RunCheckpoint[])[] = [];
  const log = runs.flatMap((run) => run.log);
  for (const output of recipe.outputs) {
    signal?.throwIfAborted();
    for (const { path, selected } of await chooseMembers(runs, output)) {
      const { members, ...report } = selected;
      outputs.push({ ...outputOf(output), path, selection: { ...report, log } });
      chosen.push(members);
    }
  }
  const taken = new Set(chosen.flat().map(({ path }) => path));
  const union = runs.flatMap((run) => run.checkpoints.filter(({ path }) => taken.has(path)));
  const place = new Map(union.map(({ path }, i) => [path, i]));
  return {
    inputs: union.map(asInput),
    ordered: true,
    outputs: outputs.map((output, k) => ({ ...output, members: chosen[k]!.map(({ path }) => place.get(path)!).sort((a, b) => a - b) })),
  };
}

/**
 * Whether the inputs are run folders; all of them or none. A folder that holds checkpoints and is one
 * (trainers leave the final model among their checkpoints) is a run where members are selected, else a
 * checkpoint; alone it could be meant as either.
 */
async function areRuns(inputs: readonly string[], selecting: boolean): Promise<boolean> {
  const folders = await Promise.all(inputs.map((path) => isRunFolder(path, { orCheckpoint: selecting || inputs.length === 1 })));
  const [only] = inputs;
  if (!selecting && inputs.length === 1 && folders[0] && !(await isRunFolder(only!))) {
    throw new MergeError('E_AMBIGUOUS', `${only}: is a checkpoint, and holds the checkpoints of a run`, {
      details: { file: only! },
      help: 'For the run say which of its checkpoints, as --last 10; a checkpoint alone needs no merge.',
    });
  }
  const run = inputs[folders.indexOf(true)];
  const checkpoint = inputs[folders.indexOf(false)];
  if (run === undefined || checkpoint === undefined) return run !== undefined;
  await storeOf(checkpoint).stat(checkpoint);
  throw new MergeError('E_OPTION', `the inputs mix runs and checkpoints: ${run} is a run, ${checkpoint} is none`, {
    details: { file: checkpoint },
    help: 'Name run folders, or checkpoints one by one.',
  });
}

/**
 * What a conversion is of.
 * @throws MergeError E_OPTION for several, and for the run that a checkpoint is one of
 */
async function theOneCheckpoint(inputs: readonly string[], signal: AbortSignal | undefined): Promise<string> {
  const [only, ...others] = inputs;
  if (only === undefined || others.length > 0) {
    throw new MergeError('E_OPTION', `one checkpoint is converted at a time, and there are ${inputs.length}`, {
      help: 'Convert them one by one, or merge them: merge average A B -o OUT.',
    });
  }
  if (!(await isRunFolder(only))) return only;
  const { checkpoints } = await discoverRun(only, { signal });
  const newest = checkpoints.at(-1);
  throw new MergeError('E_OPTION', `${only}: is a run of ${checkpoints.length} checkpoints, and one is converted at a time`, {
    details: { file: only },
    help: `Name one of them${newest === undefined ? '' : `, as ${newest.path}`}; merge ls ${only} lists them.`,
  });
}

function choosesMembers({ select, sliding, preset, path }: RecipeOutput): boolean {
  return select !== undefined || sliding === true || preset !== undefined || path.match(PLACEHOLDER) !== null;
}

/** The weights files that outputs name, each read once. */
async function weightsFilesOf({ outputs }: Recipe): Promise<ReadonlyMap<string, WeightsFile>> {
  const named = new Set(outputs.flatMap(({ weightsFile }) => weightsFile ?? []));
  return new Map(await Promise.all([...named].map(async (path) => [path, await readWeightsFile(path)] as const)));
}

/** What of an output goes on to the plan as it is, and the policies of its weights file. */
function outputRequest(
  { baseModelId }: Recipe,
  { select, sliding, preset, weightsFile, ...output }: RecipeOutput,
  files: ReadonlyMap<string, WeightsFile>,
): OutputRequest {
  if (weightsFile === undefined) return { ...output, baseModelId };
  const { policies, recorded } = files.get(weightsFile)!;
  return { ...output, policies: [...(output.policies ?? []), ...policies], weightsFile: recorded, baseModelId };
}

function asInput({ path, step, tokens, stage, epoch }: RunCheckpoint): PlanInput {
  return { path, step, tokens, stage, epoch };
}
