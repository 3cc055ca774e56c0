import { didYouMean } from '../../base/did-you-mean.ts';
import { MergeError } from '../../base/errors.ts';
import { globMatches, globParts } from '../../base/glob.ts';
import { groupBy } from '../../base/group-by.ts';
import { roleWords } from '../../model/roles/words.ts';
import type { Colors } from '../../render/colors.ts';
import { formatBytes, formatCount, formatStep, formatTable, plural, printable } from '../../render/format.ts';
import type { InspectedTensor, Inspection } from './inspect.ts';

/** Names of what lies beside the weights that are shown. */
const BESIDE = 6;

/**
 * Entries of `__metadata__` and characters of a value that are shown; whole models' configs are kept there.
 */
const METADATA_SHOWN = 10;
const VALUE_SHOWN = 60;
/** As for the conflicts of a merge. */
const PROBLEMS_SHOWN = 10;

/** Which tensors `inspect` lists. */
export interface TensorList {
  /** A line each; without this, and names, none. */
  readonly tensors?: boolean | undefined;
  /** Below each the parts that it is stored in. */
  readonly chunks?: boolean | undefined;
  /** Only those of these names, in which `*` is any text. */
  readonly names?: readonly string[] | undefined;
}

/** What `inspect` prints: the summary, and the tensors that were asked for. */
export function inspectionText(inspection: Inspection, colors: Colors, list: TensorList = {}): string {
  const { path, summary } = inspection;
  const files = summary.kind === 'file' ? 'one file' : `folder with ${plural(summary.files.length, 'tensor file')}`;
  const position = [
    summary.step === null ? '' : `step ${formatStep(summary.step)}`,
    summary.tokens === null ? '' : `${formatCount(summary.tokens)} tokens`,
  ].filter((part) => part !== '');
  const lines = [`${colors.bold(printable(path))}: ${[files, ...position].join(', ')}`];
  lines.push(...containerLines(summary));
  lines.push(`  ${plural(summary.tensors, 'tensor')}, ${plural(summary.parameters, 'parameter')}, ${formatBytes(summary.bytes)}`);
  lines.push(...modelLine(summary), ...tiedLines(summary), ...quantisationLines(summary));
  const dtypes = Object.entries(summary.dtypes).map(([name, d]) => [
    name,
    plural(d.tensors, 'tensor'),
    plural(d.parameters, 'parameter'),
    formatBytes(d.bytes),
  ]);
  lines.push(...formatTable(dtypes, ['left', 'right', 'right', 'right']).map((line) => `  ${line}`));
  const roles = Object.entries(summary.roles).map(([role, t]) => [
    roleWords(role),
    plural(t.tensors, 'tensor'),
    plural(t.parameters, 'parameter'),
    formatBytes(t.bytes),
    t.dtypes.join(', '),
  ]);
  lines.push(...formatTable(roles, ['left', 'right', 'right', 'right', 'left']).map((line) => `  ${line}`));
  lines.push(...sectionLines(summary), ...besideLines(summary), ...metadataLines(summary.metadata), ...problemLines(summary, colors));
  if (list.tensors || list.chunks || list.names !== undefined) lines.push('', ...tensorLines(inspection, list, colors));
  return `${lines.join('\n')}\n`;
}

/** Who wrote it, where something tells, and what it says of its own files. */
function containerLines({ container: { writer, version }, integrity }: Inspection['summary']): string[] {
  const written = [writer, version].filter((part) => part !== null).map(printable);
  return [
    ...(written.length === 0 ? [] : [`  written by ${written.join(', ')}`]),
    ...(integrity === null
      ? []
      : [
          `  its integrity.json has the ${printable(integrity.algorithm)} of ${plural(integrity.files, 'file')}: merge verify compares them`,
        ]),
  ];
}

/** Beside the model, or of a model in parts: what there is of each, and in how many pieces. */
function sectionLines({ sections }: Inspection['summary']): string[] {
  if (sections.length === 1 && sections[0]!.chunks === sections[0]!.tensors) return [];
  const rows = sections.map(({ section, tensors, bytes, chunks, objects, objectBytes }) => [
    section,
    plural(tensors, 'tensor'),
    formatBytes(bytes),
    `in ${plural(chunks, 'part')}`,
    objects === 0 ? '' : `and ${plural(objects, 'value')} that ${objects === 1 ? 'is' : 'are'} no tensor, ${formatBytes(objectBytes)}`,
  ]);
  return ['  contents', ...formatTable(rows, ['left', 'right', 'right', 'right', 'left']).map((line) => `    ${line}`)];
}

function besideLines({ beside }: Inspection['summary']): string[] {
  if (beside.length === 0) return [];
  const more = beside.length > BESIDE ? ` and ${beside.length - BESIDE} more` : '';
  return [`  beside the weights: ${beside.slice(0, BESIDE).map(printable).join(', ')}${more} (state of the training, not counted above)`];
}

/**
 * The tensors of some names, in which `*` is any text and `?` a character.
 * @throws MergeError E_OPTION for a name that none has
 */
export function namedTensors({ path, tensors }: Inspection, names: readonly string[]): readonly InspectedTensor[] {
  const patterns = names.map((name) => ({ name, parts: globParts(name), found: false }));
  const shown = tensors.filter(({ name }) => {
    const fitting = patterns.filter(({ parts }) => globMatches(parts, name));
    for (const pattern of fitting) pattern.found = true;
    return fitting.length > 0;
  });
  const none = patterns.find(({ found }) => !found);
  if (none === undefined) return shown;
  const near = didYouMean(
    none.name,
    tensors.map(({ name }) => name),
  );
  throw new MergeError('E_OPTION', `${path}: no tensor is called ${none.name}`, {
    details: { file: path },
    help: near === null ? 'See all names with --tensors.' : `Did you mean ${near}? See all names with --tensors.`,
  });
}

function tensorLines(inspection: Inspection, { chunks: withChunks, names }: TensorList, colors: Colors): string[] {
  const shown = names === undefined ? inspection.tensors : namedTensors(inspection, names);
  const sharded = inspection.summary.files.length > 1;
  const apart = shown.some(({ section }) => section !== 'model');
  const inParts = shown.some(({ chunks }) => (chunks?.length ?? 1) !== 1);
  const rows = shown.map((t) => [
    printable(t.name),
    t.dtype,
    `[${t.shape.join(', ')}]`,
    formatBytes(t.bytes),
    t.section !== 'model' ? t.section : t.role === null ? '-' : `${roleWords(t.role)}${t.mtp ? ' (mtp)' : ''}`,
    ...(inParts ? [plural(t.chunks?.length ?? 1, 'part')] : []),
    ...(sharded ? [filesText(t)] : []),
  ]);
  const lines = formatTable(rows, [
    ...(['left', 'left', 'left', 'right', 'left'] as const),
    ...(inParts ? (['right'] as const) : []),
    ...(sharded ? (['left'] as const) : []),
  ]);
  if (!withChunks && names === undefined) return apart || inParts ? [...lines, colors.dim(PARTS_HINT)] : lines;
  return lines.flatMap((line, i) => [line, ...chunkLines(shown[i]!)]);
}

const PARTS_HINT = "each part with its place: `--chunks`, or of some tensors `--tensor 'NAME'`";

/** The file that a tensor lies in, or how many hold parts of it. */
function filesText({ file, chunks }: InspectedTensor): string {
  const files = new Set(chunks?.map((chunk) => chunk.file));
  return files.size > 1 ? plural(files.size, 'file') : printable(file);
}

function chunkLines({ chunks }: InspectedTensor): string[] {
  const rows = (chunks ?? []).map(({ offset, size, file, position }) => [
    `[${offset.join(', ')}]`,
    `[${size.join(', ')}]`,
    printable(file),
    `byte ${formatCount(position)}`,
  ]);
  return formatTable(rows, ['left', 'left', 'left', 'left']).map((line) => `    ${line}`);
}

function metadataLines(metadata: Readonly<Record<string, string>>): string[] {
  const entries = Object.entries(metadata);
  const lines = entries.slice(0, METADATA_SHOWN).map(([key, value]) => {
    const cut = value.length > VALUE_SHOWN ? `${value.slice(0, VALUE_SHOWN)}… (${formatCount(value.length)} characters)` : value;
    return `  ${printable(key)}: ${printable(cut)}`;
  });
  if (entries.length > METADATA_SHOWN) lines.push(`  and ${formatCount(entries.length - METADATA_SHOWN)} more entries of metadata`);
  return lines;
}

/** Family, depth and experts, where names and configuration tell. */
function modelLine(summary: Inspection['summary']): string[] {
  const { family, layers, mtpLayers, totalParameters: total, activeParameters: active } = summary;
  const parts = [
    ...(family === null ? [] : [printable(family)]),
    ...(layers === 0 ? [] : [plural(layers, 'layer')]),
    ...(mtpLayers === 0 ? [] : [`${plural(mtpLayers, 'layer')} of multi-token prediction`]),
    ...expertParts(summary),
    ...sizeParts(total, active, summary),
  ];
  return parts.length === 0 ? [] : [`  ${parts.join(', ')}`];
}

/**
 * Of a mixture of experts what is active; of a dense model its size where some of its tensors are no
 * parameters, or copies.
 */
function sizeParts(total: number, active: number | null, { experts, parameters }: Inspection['summary']): string[] {
  if (active === total && experts === null) {
    return total === parameters ? [] : [`${formatCount(total)} parameters without buffers, scales and copies`];
  }
  const known = active === null ? 'how many of them are active is not known' : `${formatCount(active)} active`;
  return [`${formatCount(total)} parameters in all, ${known}`];
}

/** `8 experts in each layer`, `256 experts in layers 3 to 60`, or each number with its layers. */
function expertParts({ experts, expertLayers, layers }: Inspection['summary']): string[] {
  const told = expertLayers.filter((one) => one.experts !== null && !one.mtp);
  const counts = groupBy(told, (one) => one.experts!);
  const all = counts.size === 1 && new Set(told.map(({ layer }) => layer)).size === layers;
  const parts = [...counts].map(([count, where]) => {
    const numbers = [...new Set(where.map(({ layer }) => layer))].sort((a, b) => a - b);
    return `${plural(count, 'expert')} in ${all ? 'each layer' : `${numbers.length === 1 ? 'layer' : 'layers'} ${ranges(numbers)}`}`;
  });
  if (parts.length === 0 && experts !== null) parts.push(`${plural(experts.count, 'expert')} a layer`);
  const perToken = experts?.perToken ?? null;
  return perToken === null || parts.length === 0 ? parts : [...parts, `${perToken} of them for each token`];
}

/** `0, 3 to 60`. */
function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const n of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === n - 1) last[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : to === from + 1 ? `${from}, ${to}` : `${from} to ${to}`)).join(', ');
}

function tiedLines({ tied: { configured, pairs } }: Inspection['summary']): string[] {
  if (configured !== true) return [];
  const [pair] = pairs;
  if (pair === undefined) return ['  tied embeddings, stored once'];
  const both = `${printable(pair.embedding)} and ${printable(pair.head)}`;
  return pair.same === false
    ? [`  tied embeddings by config.json, and the file holds two that differ: ${both}`]
    : [`  tied embeddings, stored twice: ${both}`];
}

function quantisationLines({ quantisation }: Inspection['summary']): string[] {
  if (quantisation === null) return [];
  const { method, forms } = quantisation;
  const stored = forms.map(({ form, tensors }) => `${plural(tensors, 'weight')} as ${form}`);
  return [`  quantised${method === null ? '' : ` (${printable(method)})`}${stored.length === 0 ? '' : `: ${stored.join('; ')}`}`];
}

function problemLines({ problems }: Inspection['summary'], colors: Colors): string[] {
  if (problems.length === 0) return [];
  const shown = problems.slice(0, PROBLEMS_SHOWN).map(({ code, message }) => `    ${colors.yellow(code)}: ${printable(message)}`);
  const more = problems.length - shown.length;
  return [`  ${plural(problems.length, 'problem')}:`, ...shown, ...(more > 0 ? [`    and ${formatCount(more)} more`] : [])];
}
