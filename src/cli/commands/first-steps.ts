import { join } from 'node:path';
import { inspect } from '../../analysis/inspect/inspect.ts';
import { isThere } from '../../base/disk/own-file.ts';
import { shellQuote } from '../../base/process/shell-quote.ts';
import { readIfThere } from '../../base/store/store.ts';
import { discoverRun, isRunFolder } from '../../checkpoints/run/discover.ts';
import { formatQuantity } from '../../checkpoints/run/quantity.ts';
import type { Run } from '../../checkpoints/run/types.ts';
import { readProvenance } from '../../merge/record/read-provenance.ts';
import { learningRatePhase } from '../../recipe/select/phase.ts';
import { formatBytes, formatCount, formatStep, plural, printable } from '../../render/format.ts';
import { BEST_RECIPE } from '../../search/optimise/files.ts';
import { TRIALS_FILE } from '../../search/study/trials-file.ts';
import type { Context } from '../terminal/context.ts';

/** What lies at a path, in lines, and the commands that fit it, each with what it is for. */
interface Sight {
  readonly lines: readonly string[];
  readonly commands: readonly (readonly [what: string, ...words: string[]])[];
}

/** Members that a first merge has: what papers merge at most. */
const LAST = 10;
/** A run whose newest checkpoint is younger is taken for one that goes on, milliseconds. */
const YOUNG = 24 * 3_600_000;
/** A recipe or a grid is some lines. */
const MOST_YAML = 2 ** 20;

/**
 * `merge PATH` without a command: says what lies there and which three commands fit it.
 * @throws MergeError as `discoverRun` and `inspect` do, where it is none of ours
 */
export async function firstSteps({ terminal }: Context, path: string): Promise<number> {
  const { out, invocation } = terminal;
  const { lines, commands } = await sightOf(path);
  const [first = '', ...more] = lines;
  const shown = commands.flatMap(([what, ...words]) => [what, `  ${out.colors.bold([invocation, ...words.map(shellQuote)].join(' '))}`]);
  out.write(`${[`${out.colors.bold(printable(path))}: ${first}`, ...more.map((line) => `  ${line}`), '', ...shown].join('\n')}\n`);
  return 0;
}

async function sightOf(path: string): Promise<Sight> {
  if (/\.ya?ml$/i.test(path)) return yamlSight(path);
  if (isThere(join(path, TRIALS_FILE))) return studySight(path);
  const merge = await readProvenance(path);
  if (merge !== null) return mergeSight(path, merge.recipe.members.length);
  return (await isRunFolder(path, { orCheckpoint: true })) ? runSight(await discoverRun(path)) : checkpointSight(path);
}

async function runSight(run: Run): Promise<Sight> {
  const { path, checkpoints, excluded, log } = run;
  const [oldest, newest] = [checkpoints[0]!, checkpoints.at(-1)!];
  const count = Math.min(LAST, checkpoints.length);
  const first = checkpoints.at(-count)!;
  const model = await inspect(newest.path).catch(() => null);
  const phase = first.step === null || newest.step === null ? null : learningRatePhase(log, first.step, newest.step);
  const known = phase !== null && phase.highest !== null;
  const lines = [
    [
      `a run of ${plural(checkpoints.length, 'checkpoint')}`,
      ...range('steps', oldest.step, newest.step, formatStep),
      ...tokensOf(run),
    ].join(', '),
    ...(model === null ? [] : [modelLine(model.summary)]),
    ...(known ? [`${phase.text}, over the last ${count}`] : []),
    ...(excluded.length === 0 ? [] : [`${formatCount(excluded.length)} left out, with reasons in the table`]),
  ];
  const isYoung = newest.savedAt !== null && Date.now() - newest.savedAt < YOUNG;
  const watching = [
    'Merge at each new checkpoint, while the training goes on',
    'watch',
    path,
    '--window',
    String(LAST),
    '-o',
    'merges',
  ] as const;
  if (checkpoints.length === 1) {
    return { lines, commands: [table(path), ['What it holds', 'inspect', newest.path], watching] };
  }
  const last = ['--last', String(Math.min(4, checkpoints.length))];
  const third = isYoung
    ? watching
    : model?.summary.experts
      ? (['What averaging does to the routers, as a page', 'routers', path, ...last, '--out', 'routers.html'] as const)
      : (['How far they are apart, and where, as a page', 'diff', path, ...last, '--out', 'diff.html'] as const);
  const merging = ['average', path, '--last', String(count), '-o', 'merged', '--dry-run'];
  return { lines, commands: [table(path), [`The last ${count} as one; --dry-run shows first what would happen`, ...merging], third] };
}

const table = (path: string) => ['All of them as a table, with the loss and what is left out', 'ls', path] as const;

function range(noun: string, from: number | null, to: number | null, format: (value: number) => string): string[] {
  if (from === null || to === null) return [];
  return [from === to ? `${noun.replace(/s$/, '')} ${format(from)}` : `${noun} ${format(from)} to ${format(to)}`];
}

function tokensOf({ checkpoints }: Run): string[] {
  const { tokens } = checkpoints.at(-1)!;
  return tokens === null ? [] : [`${formatQuantity({ value: Number(tokens.toPrecision(3)), unit: 'tokens' })} tokens`];
}

function modelLine({ family, parameters, bytes, dtypes, experts, container }: Awaited<ReturnType<typeof inspect>>['summary']): string {
  const parts = [
    ...(family === null ? [] : [family]),
    `${formatCount(parameters)} parameters`,
    ...(experts === null ? [] : [`${formatCount(experts.count)} experts a layer`]),
    Object.keys(dtypes).join('+'),
    formatBytes(bytes),
    container.kind,
  ];
  return parts.map(printable).join(', ');
}

async function checkpointSight(path: string): Promise<Sight> {
  const { summary } = await inspect(path);
  const at = range('steps', summary.step, summary.step, formatStep);
  const other: Sight['commands'][number] =
    summary.container.kind === 'safetensors'
      ? ['How far it is from another one, and where', 'diff', path, 'OTHER']
      : ['The same as safetensors, its bytes copied', 'convert', path, '-o', 'converted'];
  return {
    lines: [['one checkpoint', ...at].join(', '), modelLine(summary)],
    commands: [
      ['What it holds, tensor by tensor', 'inspect', path, '--tensors'],
      other,
      ['One of it and another one', 'average', path, 'OTHER', '-o', 'merged', '--dry-run'],
    ],
  };
}

function mergeSight(path: string, members: number): Sight {
  return {
    lines: [`a merge of ${plural(members, 'checkpoint')}`],
    commands: [
      ['Whether it is what its record says, recomputed from its members', 'verify', path, '--full'],
      ['What it holds', 'inspect', path],
      ['How far it is from a checkpoint', 'diff', path, 'CHECKPOINT'],
    ],
  };
}

function studySight(path: string): Sight {
  const best = join(path, BEST_RECIPE);
  return {
    lines: ['the folder of a search, soup, forecast or grid'],
    commands: [
      ['What it found, and its page made anew', 'report', path],
      ['The same for programs', 'report', path, '--json'],
      isThere(best) ? ['Make the best of it', 'run', best] : ['The page somewhere else', 'report', path, '--out', 'report.html'],
    ],
  };
}

async function yamlSight(path: string): Promise<Sight> {
  const text = (await readIfThere(path, MOST_YAML))?.toString() ?? '';
  const [kind, command] = /^["']?windows["']?\s*:/m.test(text) ? ['a grid of merges', 'grid'] : ['a recipe', 'run'];
  return {
    lines: [kind!],
    commands: [
      ['What it would make; nothing is written', command!, path, '--dry-run'],
      ['Make it', command!, path],
      ['Make what is missing of it', command!, path, '--resume'],
    ],
  };
}
