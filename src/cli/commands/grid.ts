import { MergeError } from '../../base/errors.ts';
import { optionName, speakTo } from '../../base/option-words.ts';
import { omit } from '../../base/pick.ts';
import { version } from '../../base/version.ts';
import { type GridEvent, type GridOptions, grid, gridRecipe, type MachineOptions, planDocument, planGrid, readGrid } from '../../index.ts';
import type { MergeEvent } from '../../merge/engine/events.ts';
import { batchText, gridPlanText, gridText } from '../../merge/grid/text.ts';
import { recipeYaml } from '../../recipe/file/write.ts';
import { scoringText } from '../../search/grid/plan.ts';
import { AXIS_NAMES, RECIPE_NAMES } from '../options/grid-options.ts';
import { type Context, writeJson } from '../terminal/context.ts';
import { interruptible } from '../terminal/interrupt.ts';
import { createProgress, type ProgressMode } from '../terminal/progress.ts';
import type { ServeFlags } from '../terminal/serving.ts';
import { freeName } from './average.ts';
import { requireNoEvaluation } from './evaluator.ts';
import {
  BESIDE_GRIDS,
  checkScores,
  planScores,
  printArray,
  refuseDocument,
  runScores,
  type ScoringFlags,
  splitScoring,
} from './grid-scores.ts';
import { BESIDE_RECIPES } from './run.ts';

/** Options of `grid` as commander leaves them. */
interface GridFlags extends Omit<GridOptions, 'run' | 'output' | 'keep'>, Omit<MachineOptions, 'keep'>, ScoringFlags, ServeFlags {
  /** `--keep` beside a scoring, `--no-keep` beside a making. */
  readonly keep?: boolean;
  readonly output?: string;
  readonly dryRun?: boolean;
  readonly printRecipe?: boolean;
  readonly submit?: boolean;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly progress?: ProgressMode;
  readonly debug?: boolean;
}

/** A grid file, by its name: a run is a folder. */
const FILE = /\.(?:ya?ml|json)$/i;

/** `merge grid`. */
export async function run(context: Context, args: readonly (string | readonly string[])[], all: GridFlags): Promise<number> {
  const { terminal } = context;
  const { serve, serveTokenFile, ...given } = all;
  refuseTogether(given);
  const { making: flags, scoring } = splitScoring(given);
  if (scoring === null) requireNoEvaluation({ serve, serveTokenFile }, { serve: '--serve', serveTokenFile: '--serve-token-file' });
  const options = await gridRequest(context, args[0] as string, flags);
  if (flags.submit) {
    await printArray(context, options, scoring, flags);
    return 0;
  }
  if (scoring !== null && !flags.dryRun && !flags.printRecipe) {
    return runScores(context, { ...omit(options, ['keep']), ...scoring }, { ...flags, serve, serveTokenFile });
  }
  if (scoring !== null) checkScores(options, scoring);
  if (flags.printRecipe) {
    const recipe = await gridRecipe(options);
    refuseDocument('--print-recipe', flags);
    terminal.out.write(
      recipeYaml(recipe, { head: [`A grid as a recipe, by ckpt-merge ${version}. Paths are as from the folder that it was printed in.`] }),
    );
    return 0;
  }
  if (flags.dryRun) {
    const scored = await planScores(options, scoring);
    const plan = scored?.plan ?? (await planGrid(options));
    const progress = createProgress('none', terminal);
    for (const warning of plan.warnings) progress.warn(warning);
    if (flags.json) writeJson(context, { ...plan, ...(scored !== null && { scoring: scored.scoring }) });
    else if (flags.quiet) for (const { path, gone } of plan.outputs) terminal.out.write(gone === undefined ? `${path}\n` : '');
    else {
      const scores = scored === null ? undefined : { text: scoringText(scored.scoring), keeps: given.keep === true };
      terminal.out.write(gridPlanText(plan, terminal.out.colors, scores));
    }
    return 0;
  }
  const progress = createProgress(flags.progress ?? (flags.quiet ? 'none' : 'auto'), terminal, (event) =>
    eventDocument(event as MergeEvent),
  );
  const kept: string[] = [];
  const onEvent = (event: GridEvent): void => {
    if (event.type === 'batch' && !flags.quiet && flags.progress !== 'json') {
      progress.end();
      terminal.err.write(`${batchText(event.batch, event.number)}\n`);
    }
    // All that is known before the first read, once and not once a read.
    if (event.type === 'plan') for (const warning of event.plan.warnings) progress.event({ type: 'warning', warning });
    if (event.type !== 'merge') return;
    if (event.event.type === 'kept') kept.push(event.event.output);
    progress.event(event.event);
  };
  try {
    const result = await interruptible(terminal, (signal) => grid(options, { signal, onEvent }), kept);
    progress.end();
    for (const warning of result.warnings) progress.warn(warning);
    if (flags.json) writeJson(context, result);
    else if (flags.quiet) for (const { path, gone } of result.outputs) terminal.out.write(gone === undefined ? `${path}\n` : '');
    else terminal.out.write(gridText(result, options.output, terminal.out.colors, terminal.invocation));
    return 0;
  } finally {
    progress.end();
  }
}

/** Each of these prints another thing. @throws MergeError E_USAGE */
function refuseTogether({ submit, printRecipe, dryRun }: GridFlags): void {
  const prints = { '--submit': submit, '--print-recipe': printRecipe, '--dry-run': dryRun };
  const [first, second] = Object.entries(prints).flatMap(([name, is]) => (is ? [name] : []));
  if (second !== undefined) throw new MergeError('E_USAGE', `${first} and ${second} cannot be used together`);
}

/** The command line, and a grid file where there is one, as the library's options. */
async function gridRequest(
  context: Context,
  path: string,
  flags: Omit<GridFlags, keyof ScoringFlags | keyof ServeFlags>,
): Promise<GridOptions> {
  const { output: given, dryRun, printRecipe, submit, json, quiet, progress, debug, keep, ...rest } = flags;
  const output = given ?? (dryRun || printRecipe ? freeName('grid') : undefined);
  if (output === undefined) throw new MergeError('E_USAGE', 'no folder for the merges is given', { help: 'Name one with -o DIR.' });
  if (given === undefined) context.terminal.err.write(`no folder is named: planned as -o ${output}\n`);
  const own = { ...rest, output, ...(keep === false && { keep }) };
  if (!FILE.test(path)) return { ...own, run: path };
  const inFile = [...AXIS_NAMES, ...RECIPE_NAMES].filter((name) => (rest as Readonly<Record<string, unknown>>)[name] !== undefined);
  if (inFile.length > 0) {
    throw new MergeError('E_USAGE', `${inFile.map(optionName).join(', ')} stand in the grid file, and not beside ${path}`, {
      help: `Write them into ${path}, or name the run instead of the file.`,
    });
  }
  const read = await readGrid(path);
  speakTo('recipe', [...BESIDE_RECIPES, ...BESIDE_GRIDS, 'yes-all', 'print-recipe']);
  return { ...own, ...read };
}

/** A line of `--progress json`: the plan as its document. */
function eventDocument(event: MergeEvent): object {
  return event.type === 'plan' ? { type: 'plan', plan: planDocument(event.plan) } : event;
}
