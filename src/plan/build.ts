import { fingerprint } from '../checkpoint/fingerprint.ts';
import { mapBounded } from '../checkpoint/map-bounded.ts';
import { openCheckpoint } from '../checkpoint/open.ts';
import { sideFiles } from '../checkpoint/side-files.ts';
import type { Checkpoint } from '../checkpoint/types.ts';
import { type Conflict, ERROR_CODES, MergeError, type Warning } from '../errors.ts';
import { HeaderCache } from '../safetensors/header-cache.ts';
import { resolveWeights } from '../schedule/resolve.ts';
import type { ResolvedWeights } from '../schedule/types.ts';
import { unequalIntegers } from './integers.ts';
import { extraTensors, InputFiles, matchShard } from './match.ts';
import { orderMembers } from './order.ts';
import { outputFiles } from './output-files.ts';
import { freeSpace, outputConflicts, outputKind } from './output-path.ts';
import { buildSegments, segmentBytes } from './segments.ts';
import type { Plan, PlanMember, PlanOutput, PlanRequest, PlanShard } from './types.ts';

/** Bound of native buffers when none is given. */
export const DEFAULT_MEMORY = 256 * 2 ** 20;
/** What the process needs beside native buffers: Node itself, and the columns of each tensor. */
const BASE_MEMORY = 150e6;
const MEMORY_PER_TENSOR = 1500;
/** Provenance, merge card and journal, generously. */
const RECORD_BYTES = 1e6;
/** Checkpoints opened at a time. */
const OPEN_AT_ONCE = 8;

/**
 * Resolves a request into exactly what will be read, computed and written. Reads headers, sampled blocks and integer tensors; writes nothing.
 *
 * @throws MergeError E_CONFLICTS, or the code that all conflicts share, with every conflict in `details.conflicts`; E_WEIGHTS, E_OPTION, E_ORDER for
 *   the request itself; whatever {@link openCheckpoint} throws for a checkpoint that cannot be read; `signal.reason` on an abort.
 */
export async function buildPlan(request: PlanRequest, signal?: AbortSignal): Promise<Plan> {
  if (request.inputs.length === 0) throw new MergeError('E_USAGE', 'no inputs were given', { help: 'Name at least one checkpoint.' });
  if (request.outputs.length === 0) throw new MergeError('E_USAGE', 'no output was given', { help: 'Name one with -o OUT.' });
  checkDistinctOutputs(request);

  const cache = new HeaderCache();
  const openInput = (path: string): Promise<Checkpoint> => {
    signal?.throwIfAborted();
    return openCheckpoint(path, { cache });
  };
  const given = await mapBounded(
    request.inputs.map((input) => (typeof input === 'string' ? input : input.path)),
    OPEN_AT_ONCE,
    openInput,
  );
  const ordered = orderMembers(given, request.outputs);
  const checkpoints = ordered.members;
  const layout = request.like === undefined ? checkpoints.at(-1)! : await openInput(request.like);
  const schedules = request.outputs.map((o) => resolveWeights(checkpoints.length, o));
  const weights = Float64Array.from(schedules.flatMap((s) => [...s.weights]));
  const participates = checkpoints.map((_, m) => schedules.some((s) => s.weights[m] !== 0));

  const conflicts: Conflict[] = [];
  const sources = layout === checkpoints.at(-1) ? checkpoints : [...checkpoints, layout];
  const kinds = request.outputs.map((o) => outputKind(o.path, [...checkpoints, layout]));
  for (const [k, output] of request.outputs.entries()) {
    conflicts.push(...(await outputConflicts(output.path, kinds[k]!, sources, request.force ?? false)));
  }

  const files = new InputFiles();
  const options = { like: request.like ?? null, allowMixedDtypes: request.allowMixedDtypes ?? false };
  const matched = layout.shards.map((_, s) => matchShard(layout, s, checkpoints, participates, files, options, conflicts));
  for (const [m, checkpoint] of checkpoints.entries()) if (participates[m]) conflicts.push(...extraTensors(layout, checkpoint));
  if (!conflicts.some((c) => ERROR_CODES[c.code].exit === 3)) {
    conflicts.push(
      ...(await unequalIntegers(
        matched.flatMap((m) => m.integers),
        signal,
      )),
    );
  }

  const members = await mapBounded([...checkpoints.entries()], OPEN_AT_ONCE, async ([m, checkpoint]): Promise<PlanMember> => {
    signal?.throwIfAborted();
    const { path, step, tokens, bytes } = checkpoint;
    return { path, step, tokens, bytes, fingerprint: await fingerprint(checkpoint), checkpoint, participates: participates[m]! };
  });
  const side = await sideFiles(checkpoints.at(-1)!);
  const outputs: PlanOutput[] = request.outputs.map((o, k) =>
    outputFiles(layout, members, schedules[k]!, o, kinds[k]!, side.copied, options),
  );
  const shards: PlanShard[] = matched.map(({ columns }, s) => ({
    shard: s,
    segments: buildSegments({
      table: layout.shards[s]!.header.tensors,
      columns,
      outDtypes: outputs.map((o) => o.dtypeCode),
      dataStart: outputs.map((o) => o.files[s]!.header.length),
    }),
  }));
  const bytes = shards.map((s) => segmentBytes(s.segments, members.length, outputs.length));
  const bytesWritten = outputs.reduce((sum, o) => sum + o.bytes, 0);
  const space = await spaceNeeded(outputs);
  if (space.conflict !== undefined) conflicts.push(space.conflict);
  refuse(conflicts);

  const memory = request.memory ?? DEFAULT_MEMORY;
  return {
    members,
    layout,
    ...options,
    outputs,
    files: files.list,
    shards,
    weights,
    tensors: layout.tensorCount,
    bytesRead: bytes.reduce((sum, b) => sum + b.read, 0),
    bytesWritten,
    memory,
    peakMemoryBytes: Math.round(memory + BASE_MEMORY + MEMORY_PER_TENSOR * layout.tensorCount),
    freeBytesNeeded: space.needed,
    freeBytesAvailable: space.available,
    warnings: [...ordered.warnings, ...sources.flatMap((c) => c.warnings), ...scheduleWarnings(schedules), ...dtypeWarnings(outputs)],
  };
}

function checkDistinctOutputs(request: PlanRequest): void {
  const seen = new Set<string>();
  for (const { path } of request.outputs) {
    if (seen.has(path)) throw new MergeError('E_OPTION', `${path} is the output twice`, { details: { file: path } });
    seen.add(path);
  }
}

/** Space is counted for each file system on its own; the tightest is reported. */
async function spaceNeeded(outputs: readonly PlanOutput[]): Promise<{ needed: number; available: number; conflict?: Conflict }> {
  const byDevice = new Map<number, { needed: number; available: number; path: string }>();
  for (const output of outputs) {
    const { device, available } = await freeSpace(output.path);
    const entry = byDevice.get(device) ?? { needed: RECORD_BYTES, available, path: output.path };
    entry.needed += output.bytes;
    byDevice.set(device, entry);
  }
  const tightest = [...byDevice.values()].sort((a, b) => a.available - a.needed - (b.available - b.needed))[0]!;
  const { needed, available, path } = tightest;
  if (needed <= available) return { needed, available };
  const message = `${path} needs ${needed} bytes and its file system has ${available} free`;
  return { needed, available, conflict: { code: 'E_NO_SPACE', message, file: path } };
}

function scheduleWarnings(schedules: readonly ResolvedWeights[]): Warning[] {
  return schedules.flatMap((s) => s.warnings);
}

function dtypeWarnings(outputs: readonly PlanOutput[]): Warning[] {
  return outputs
    .filter((o) => o.dtypeChanges.length > 0)
    .map((o) => ({
      code: 'W_DTYPE_CHANGED',
      message: `${o.path} is stored in another dtype than the newest input: ${o.dtypeChanges.join('; ')}`,
    }));
}

/** Usage before inputs before an existing output before space, so that the exit code is that of what must be mended first. */
function refuse(conflicts: Conflict[]): void {
  if (conflicts.length === 0) return;
  conflicts.sort((a, b) => ERROR_CODES[a.code].exit - ERROR_CODES[b.code].exit);
  const first = conflicts[0]!;
  const sameExit = conflicts.filter((c) => ERROR_CODES[c.code].exit === ERROR_CODES[first.code].exit);
  const code = sameExit.every((c) => c.code === first.code) ? first.code : 'E_CONFLICTS';
  const details = {
    ...(first.file === undefined ? {} : { file: first.file }),
    ...(first.tensor === undefined ? {} : { tensor: first.tensor }),
    conflicts,
  };
  if (conflicts.length === 1) throw new MergeError(code, first.message, { details });
  throw new MergeError(code, `${conflicts.length} things stand in the way of this merge`, { details });
}
