import { parseByteSize } from '../../../base/byte-size.ts';
import { dtypeByCode } from '../../../base/dtype.ts';
import { type Conflict, MergeError } from '../../../base/errors.ts';
import { optionName } from '../../../base/option-words.ts';
import { layOut } from '../../../checkpoints/containers/safetensors/encode-header.ts';
import { shardName } from '../../../checkpoints/tensors/shards.ts';
import { elementsOf } from '../../../checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { DraftOutput } from '../inputs/drafts.ts';
import type { PlanRequest } from '../types.ts';
import type { MatchResult } from './match.ts';
import type { MemberColumns, Spans } from './spans.ts';
import { allRows, placesIn, type TargetShard } from './target.ts';
import type { PlannedTensors } from './tensors.ts';
import { outputDtypes } from './treatments.ts';

/** Files that names of shards count in five digits. */
const MOST_SHARDS = 99_999;

/** Part of the tensors of all shards together: first row, and the one behind the last. */
type Cut = readonly [from: number, to: number];

/**
 * The planned tensors in files of another size: in the order that they have, as many to a file as fit into
 * it, and a larger one in a file of its own.
 * @param request size or number of files, as the user gave it
 * @throws MergeError E_OPTION for what is no size, or has no meaning for these checkpoints
 */
export function resharded(
  planned: PlannedTensors,
  layout: Checkpoint,
  drafts: readonly DraftOutput[],
  { shardSize: size, files }: Pick<PlanRequest, 'shardSize' | 'files'>,
): { readonly planned: PlannedTensors; readonly conflicts: readonly Conflict[] } {
  if (size !== undefined && files !== undefined) {
    const both = `${optionName('shardSize')} ${size} and ${optionName('files')} ${files}`;
    throw new MergeError('E_OPTION', `${both}: each says how many files there are`, { help: 'Leave one of them out.' });
  }
  if (files !== undefined && !(Number.isInteger(files) && files > 0)) {
    throw new MergeError('E_OPTION', `${optionName('files')} must be a whole number of at least 1, not ${files}`);
  }
  const option = optionName(size === undefined ? 'files' : 'shardSize');
  const most = size === undefined ? null : parseByteSize(size, option);
  if (layout.namesPerFile) {
    throw new MergeError('E_OPTION', `${layout.path}: has a file for each tensor, which ${option} cannot change`, {
      details: { file: layout.path },
      help: `Leave ${option} out.`,
    });
  }
  const outputs = drafts.map(({ output }, k) =>
    most === null ? cutsInto(bytesIn(planned, k, output.dtype), files!) : cutsOf(bytesIn(planned, k, output.dtype), most),
  );
  const [cuts, ...others] = outputs as [Cut[], ...Cut[][]];
  if (cuts.length > MOST_SHARDS) {
    throw new MergeError(
      'E_OPTION',
      `${option} ${size ?? files} makes ${cuts.length} files, and at most ${MOST_SHARDS} can be named`,
      size === undefined ? {} : { help: 'Write the unit behind the number, as 5GB.' },
    );
  }
  const conflicts: Conflict[] = others.flatMap((own, k): Conflict[] => {
    if (own.length === cuts.length && own.every(([from], i) => from === cuts[i]![0])) return [];
    const [a, b] = [drafts[0]!.output.path, drafts[k + 1]!.output.path];
    const message = `${option} ${size ?? files} puts other tensors into a file of ${a} than of ${b}, whose dtypes differ, and one read writes both alike: make them one by one`;
    return [{ code: 'E_LAYOUTS_DIFFER', message }];
  });
  for (const { output, kind } of drafts) {
    if (kind === 'folder' || cuts.length === 1) continue;
    const message = `${output.path} is one file, and ${option} ${size ?? files} makes ${cuts.length}: name a folder, or leave it out`;
    conflicts.push({ code: 'E_OPTION', message, file: output.path });
  }
  return { planned: inFiles(planned, layout, cuts), conflicts };
}

/** The planned tensors in so many files of about equal size in one of the outputs, fewer where there are fewer tensors. */
export function inSomeFiles(planned: PlannedTensors, layout: Checkpoint, { output }: DraftOutput, files: number): PlannedTensors {
  return inFiles(planned, layout, cutsInto(bytesIn(planned, 0, output.dtype), Math.min(files, MOST_SHARDS)));
}

/** Bytes of every tensor in one output, shard after shard. */
function bytesIn({ targets, treatments, treatmentOf }: PlannedTensors, k: number, dtype: DraftOutput['output']['dtype']): Float64Array {
  const parts = targets.map(({ table }, s) => {
    const dtypes = outputDtypes(table.dtypes, treatmentOf[k]![s]!, treatments[k]!.treatments, dtype);
    return Float64Array.from(dtypes, (code, row) => (elementsOf(table, row) * dtypeByCode(code).bits) / 8);
  });
  return concat(parts, Float64Array);
}

function cutsOf(bytes: Float64Array, most: number): Cut[] {
  const cuts: Cut[] = [];
  let from = 0;
  let held = 0;
  for (const [row, own] of bytes.entries()) {
    if (row > from && held + own > most) {
      cuts.push([from, row]);
      from = row;
      held = 0;
    }
    held += own;
  }
  cuts.push([from, bytes.length]);
  return cuts;
}

/** As many files as are asked for, or as there are tensors, of about equal size. */
function cutsInto(bytes: Float64Array, files: number): Cut[] {
  const total = bytes.reduce((sum, own) => sum + own, 0);
  const count = Math.min(files, bytes.length);
  const cuts: Cut[] = [];
  let [from, held] = [0, 0];
  for (const [row, own] of bytes.entries()) {
    // A file begins where the half of a tensor lies beyond its share, and each has a tensor.
    const due = (total * (cuts.length + 1)) / count;
    const needed = count - cuts.length - 1;
    if (row > from && needed > 0 && (held + own / 2 > due || bytes.length - row <= needed)) {
      cuts.push([from, row]);
      from = row;
    }
    held += own;
  }
  cuts.push([from, bytes.length]);
  return cuts;
}

function inFiles(planned: PlannedTensors, layout: Pick<Checkpoint, 'indexName'>, cuts: readonly Cut[]): PlannedTensors {
  const { targets, workOf, treatmentOf, matched, files } = planned;
  const names = targets.flatMap(({ table }) => table.names);
  const shapes = targets.flatMap(({ table }) => table.shapes);
  const dtypes = concat(
    targets.map(({ table }) => table.dtypes),
    Uint8Array,
  );
  const before = targets.map((_, s) => targets.slice(0, s).reduce((sum, { table }) => sum + table.count, 0));
  const parts = cuts.map(([from, to]): TargetShard => {
    const table = layOut({ names: names.slice(from, to), shapes: shapes.slice(from, to), dtypes: dtypes.slice(from, to) });
    return { table, origin: allRows(table.count) };
  });
  const sliced = (columns: readonly Int32Array[]): Int32Array[] => {
    const all = concat(columns, Int32Array);
    return cuts.map(([from, to]) => all.slice(from, to));
  };
  const spans = spansTogether(matched, before);
  const stem = layout.indexName?.match(/^(.+)\.safetensors\.index\.json$/)?.[1];
  const placed = placesIn(targets);
  return {
    ...planned,
    files,
    targets: parts,
    shards: cuts.map((_, i) => ({ name: shardName(i, cuts.length, stem) })),
    workOf: sliced(workOf),
    treatmentOf: treatmentOf.map(sliced),
    matched: cuts.map((cut): MatchResult => ({ spans: spansIn(spans, cut), equal: [], arranged: [] })),
    placeOf: (place) => {
      const at = placed(place);
      if (at === null) return null;
      const row = before[at.shard]! + at.row;
      const shard = cuts.findLastIndex(([from]) => from <= row);
      return { shard, row: row - cuts[shard]![0] };
    },
  };
}

/** The spans of all shards, whose rows count on from one to the next. */
function spansTogether(matched: readonly MatchResult[], before: readonly number[]): Spans {
  const all = matched.map(({ spans }) => spans);
  const members = all[0]!.columns.length;
  return {
    row: concat(
      all.map(({ row }, s) => row.map((r) => r + before[s]!)),
      Int32Array,
    ),
    from: concat(
      all.map(({ from }) => from),
      Float64Array,
    ),
    elements: concat(
      all.map(({ elements }) => elements),
      Float64Array,
    ),
    columns: Array.from({ length: members }, (_, m): MemberColumns | null => {
      const own = all.map(({ columns }) => columns[m]!);
      if (own.includes(null as never)) return null;
      return {
        file: concat(
          own.map(({ file }) => file),
          Int32Array,
        ),
        offset: concat(
          own.map(({ offset }) => offset),
          Float64Array,
        ),
        dtype: concat(
          own.map(({ dtype }) => dtype),
          Uint8Array,
        ),
      };
    }),
    matrices: Array.from(
      { length: members },
      (_, m) =>
        new Map(all.flatMap(({ matrices }, s) => [...(matrices[m] ?? [])].map(([row, matrix]) => [row + before[s]!, matrix] as const))),
    ),
  };
}

/** Those of some rows, which count from the first of them. */
function spansIn({ row, from, elements, columns, matrices }: Spans, [first, end]: Cut): Spans {
  const [a, b] = [firstFrom(row, first), firstFrom(row, end)];
  return {
    row: row.slice(a, b).map((r) => r - first),
    from: from.slice(a, b),
    elements: elements.slice(a, b),
    columns: columns.map((column) =>
      column === null ? null : { file: column.file.slice(a, b), offset: column.offset.slice(a, b), dtype: column.dtype.slice(a, b) },
    ),
    matrices: matrices.map(
      (own) => new Map([...own].flatMap(([r, matrix]) => (r >= first && r < end ? [[r - first, matrix] as const] : []))),
    ),
  };
}

/** The first span of a row, or of one behind it. */
function firstFrom(rows: Int32Array, row: number): number {
  let [low, high] = [0, rows.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle]! < row) low = middle + 1;
    else high = middle;
  }
  return low;
}

type Column = Int32Array | Float64Array | Uint8Array;

function concat<T extends Column>(parts: readonly T[], Kind: new (length: number) => T): T {
  const all = new Kind(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part as never, at);
    at += part.length;
  }
  return all;
}
