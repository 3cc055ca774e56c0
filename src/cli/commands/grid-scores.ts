import { basename, dirname, join, resolve } from 'node:path';
import { MergeError } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { omit, pick } from '../../base/pick.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { type GridModel, type GridOptions, type GridScoreOptions, gridModels, scoreGrid } from '../../index.ts';
import { plural, printable } from '../../render/format.ts';
import { wrap } from '../../render/wrap.ts';
import { refuseForTrainers, resolveScores } from '../../search/grid/options.ts';
import { planScoredGrid } from '../../search/grid/plan.ts';
import { gridScoresText } from '../../search/grid/text.ts';
import { REPORT_PAGE } from '../../search/study/report-files.ts';
import { slurmFolder, thenScript } from '../submit/slurm-script.ts';
import type { Context } from '../terminal/context.ts';
import type { ServeFlags } from '../terminal/serving.ts';
import { tableWidth } from '../terminal/terminal.ts';
import { requireNoEvaluation } from './evaluator.ts';
import { reportStudy } from './search.ts';

/** What `merge grid` has for scores, as commander leaves it. */
export interface ScoringFlags extends Omit<GridScoreOptions, keyof GridOptions | 'eval' | 'metrics' | 'validateMetrics'> {
  readonly eval?: string;
  readonly metric?: GridScoreOptions['metrics'];
  readonly validateMetric?: GridScoreOptions['metrics'];
}

const NAMES = [
  ...(['eval', 'scores', 'metric', 'goal', 'metricFile', 'metricRegex', 'timeout', 'evalSetup', 'evalCancel', 'evalServer'] as const),
  ...(['gpus', 'parallel', 'work', 'dir', 'log', 'validate', 'validateMetric'] as const),
] as const satisfies readonly (keyof ScoringFlags)[];

/** Options beside a grid file, as the command line has them. */
export const BESIDE_GRIDS: readonly string[] = [...NAMES, 'serve', 'serveTokenFile'].map((name) =>
  name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`),
);

/** A grid as it is made, and how it is scored; null where it is not. */
export interface SplitFlags<T> {
  readonly making: Omit<T, (typeof NAMES)[number]>;
  readonly scoring: Pick<GridScoreOptions, 'eval' | 'scores' | 'dir'> | null;
}

/**
 * The options that are about scores apart from the others.
 * @throws MergeError E_USAGE for options about scores where nothing scores
 */
export function splitScoring<T extends ScoringFlags & Parameters<typeof refuseOfMaking>[0]>(flags: T): SplitFlags<T> {
  const making = omit(flags, [...NAMES]) as SplitFlags<T>['making'];
  if (flags.eval !== undefined || flags.scores !== undefined) {
    refuseOfMaking(flags);
    const { metric, validateMetric, ...own } = pick<ScoringFlags, (typeof NAMES)[number]>(flags, NAMES);
    const scoring = {
      ...own,
      ...(metric !== undefined && { metrics: metric }),
      ...(validateMetric !== undefined && { validateMetrics: validateMetric }),
      ...(flags.keep === true && { keep: true }),
    };
    return { making: omit(making as { keep?: boolean }, ['keep']) as SplitFlags<T>['making'], scoring };
  }
  const others = {
    goal: '--goal',
    work: '--work',
    dir: '--dir',
    log: '--log',
    validate: '--validate',
    validateMetric: '--validate-metric',
  };
  requireNoEvaluation({ ...(flags as object), keep: flags.keep || undefined }, { ...others, keep: '--keep' });
  return { making, scoring: null };
}

/**
 * What only a grid that is made and not scored has.
 * @throws MergeError E_USAGE
 */
function refuseOfMaking(flags: { readonly keep?: boolean; readonly ranks?: unknown; readonly rankTimeout?: unknown }): void {
  for (const name of ['ranks', 'rankTimeout'] as const) {
    if (flags[name] === undefined) continue;
    throw new MergeError('E_USAGE', `${optionName(name)} is of ranks that make a grid together, and one process scores one`, {
      help: "Leave it out; --launcher 'srun -N 8' starts the ranks of each merge.",
    });
  }
  if (flags.keep !== false) return;
  throw new MergeError('E_USAGE', '--no-keep is of a grid that is made and not scored: what is scored is removed', {
    help: 'Leave it out. Scores stay in the folder of --dir, and --resume goes on after them.',
  });
}

/** What prints a text for others to read has no document, and no path. @throws MergeError E_USAGE */
export function refuseDocument(option: string, { json, quiet }: { readonly json?: boolean; readonly quiet?: boolean }): void {
  if (json || quiet) throw new MergeError('E_USAGE', `${option} and ${json ? '--json' : '--quiet'} cannot be used together`);
}

/**
 * `merge grid … --eval COMMAND --submit`: the script of a job array that has each model of a grid scored.
 * @throws MergeError E_USAGE where no command scores
 */
export async function printArray(
  { terminal }: Context,
  options: GridOptions,
  scoring: SplitFlags<object>['scoring'],
  flags: Parameters<typeof refuseDocument>[1],
): Promise<void> {
  const { eval: command, scores, ...others } = scoring ?? {};
  if (typeof command !== 'string') {
    throw new MergeError('E_USAGE', '--submit prints the job array of an evaluator, and none is given', {
      help: `Name a command that scores a model, as --eval 'lm_eval … --output_path "scores/$MERGE_NAME"'.`,
    });
  }
  const [other] = Object.keys(others);
  if (other !== undefined) {
    throw new MergeError('E_USAGE', `${optionName(other)} is of a scoring, and --submit only prints what another one begins with`, {
      help: 'Leave it out here, and give it beside --scores, without --submit, when the results are there.',
    });
  }
  refuseForTrainers(options);
  const models = await gridModels(options, { scores });
  refuseDocument('--submit', flags);
  const conclude = `--scores ${scores === undefined ? 'with the folder that they lie in' : shellQuote(scores)}`;
  if (models.length === 0) {
    terminal.err.write(`nothing is left to score: all results are there; without --submit and --eval, ${conclude} concludes from them\n`);
    return;
  }
  const folder = slurmFolder();
  const name = `${basename(resolve(options.output))}-scores`;
  terminal.out.write(
    thenScript({
      ...{ name, partition: undefined, account: undefined, more: [], folder, command },
      ...(scores !== undefined && { makes: scores }),
      log: join(folder.replaceAll('%', '%%'), `${name.replace(/[^\w.-]/g, '_')}-%A_%a.log`),
      outputs: models.map(({ path }) => resolve(path)),
      names: models.map(({ name }) => name),
    }),
  );
  const unloadable = models.flatMap((model) => (model.loadable ? [] : [model]));
  if (unloadable.length > 0)
    terminal.err.write(`${wrap(unloadableText(unloadable, options, models.length), NOTE_WIDTH, '  ').join('\n')}\n`);
  terminal.err.write(`${plural(models.length, 'model')}; when their results are there: ${conclude}\n`);
}

/** Columns of notes. */
const NOTE_WIDTH = 100;
const NAMES_SHOWN = 3;

/** That the command is handed what few evaluators load, and what is to be done about it. */
function unloadableText(others: readonly GridModel[], { output }: GridOptions, all: number): string {
  const names = others.slice(0, NAMES_SHOWN).map(({ name }) => name);
  const more = others.length > NAMES_SHOWN ? ` and ${others.length - NAMES_SHOWN} more` : '';
  const merged = others.some(({ path }) => dirname(resolve(path)) === resolve(output));
  const again = merged ? 'Make the grid with --format safetensors; for saves of the run, let' : 'Let';
  return printable(
    `note: ${others.length} of ${plural(all, 'model')} ${others.length === 1 ? 'is' : 'are'} no safetensors in one folder (${names.join(', ')}${more}), and lm-eval and most others load nothing else. ${again} the command make them first: merge convert "$MERGE_MODEL" -o "$TMPDIR/model". Without --submit, --eval hands safetensors to the command by itself.`,
  );
}

/** What a scoring would be refused for, where it is only looked what it would be of. @throws MergeError E_OPTION */
export function checkScores(options: GridOptions, scoring: NonNullable<SplitFlags<object>['scoring']>): void {
  resolveScores({ ...omit(options, ['keep']), ...scoring });
}

/** What scoring it would evaluate, with the grid as it is made for that; null where nothing is evaluated. @throws MergeError as the scoring does */
export async function planScores(
  options: GridOptions,
  scoring: SplitFlags<object>['scoring'],
): Promise<Awaited<ReturnType<typeof planScoredGrid>> | null> {
  return scoring?.eval === undefined ? null : planScoredGrid({ ...omit(options, ['keep']), ...scoring });
}

/** `merge grid … --eval` and `--scores`. */
export async function runScores(
  context: Context,
  options: GridScoreOptions,
  flags: ServeFlags & {
    readonly json?: boolean;
    readonly quiet?: boolean;
    readonly resume?: boolean | undefined;
    readonly progress?: unknown;
  },
): Promise<number> {
  if (flags.progress !== undefined) {
    throw new MergeError('E_USAGE', `${optionName('progress')} is of a grid that is made and not scored`, {
      help: 'Leave it out: each trial is told of in a line on stderr.',
    });
  }
  const { dir } = resolveScores(options).options;
  const { json, quiet, resume, serve, serveTokenFile } = flags;
  return reportStudy(
    context,
    { ...(json !== undefined && { json }), ...(quiet !== undefined && { quiet }), resume, serve, serveTokenFile },
    dir,
    (run) => scoreGrid(options, run),
    (document, folder) => {
      const places = [
        `report   ${printable(join(folder, REPORT_PAGE))}`,
        ...(options.eval === undefined ? [] : [`trials   ${printable(join(folder, 'trials.jsonl'))}`]),
      ];
      return `${gridScoresText(document, context.terminal.out.colors, tableWidth(context.terminal.out))}\n${places.join('\n')}\n`;
    },
  );
}
