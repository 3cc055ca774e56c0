import type { Warning } from '../../base/errors.ts';
import { ByteReader } from '../../base/store/byte-reader.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { Units } from '../../model/layout/units.ts';
import { identityOf, type Measure } from '../../model/places/identity.ts';
import type { MemberLayers } from '../../model/places/router-layers.ts';
import { lookAtRouter } from '../../model/places/router-rows.ts';
import { planSample, readSample, routerColumns, type SamplePlan } from '../../model/places/sample.ts';
import { cosines, type UnitRows, unitRows } from '../../model/places/similarity.ts';
import type { PairIdentity } from '../../model/places/types.ts';
import { layerChoice, type RouterLogits } from '../../model/routing/choice.ts';
import type { RouterInputs, RouterLayer, RoutingFunction } from '../../model/routing/types.ts';
import { plural } from '../../render/format.ts';
import { biasDrift, layerDrift } from './drift.ts';
import type { IdentitySample, LayerReport } from './types.ts';

/** Multiplications that comparing experts may take: some five seconds of one core. */
const WORK = 8e9;
const FEWEST = 128;
const MOST = 4096;
/**
 * Reads of experts' weights, where they are so many that each expert is looked at in one or two of its
 * matrices only.
 */
const MOST_READS = 200_000;

export interface ExamineOptions {
  readonly checkpoints: readonly Checkpoint[];
  /** Of each checkpoint. */
  readonly units: readonly Units[];
  /** One a checkpoint. */
  readonly weights: readonly number[];
  readonly routing: RoutingFunction | null;
  /** Inputs on which the choice of experts is compared; null where it is not. */
  readonly inputs: (layer: MemberLayers, reader: ByteReader) => Promise<RouterInputs | null>;
  readonly seed: number;
  readonly threads?: number | undefined;
  /** Bound of native buffers, bytes. */
  readonly memory?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface Examined {
  readonly layers: readonly LayerReport[];
  readonly sample: Pick<IdentitySample, 'routerColumns' | 'expertElements'>;
  readonly bytesRead: number;
  readonly warnings: readonly Warning[];
}

/** What is remembered of one member while the next is looked at. */
interface Seen {
  readonly rows: UnitRows;
  readonly experts: UnitRows | null;
  readonly sampled: string | null;
}

/**
 * Elements of an expert that are compared: as many as the work allows, which goes with layers, pairs of
 * members and the square of the experts.
 */
function sampleSize(layers: readonly MemberLayers[], members: number): number {
  const pairs = layers.reduce((sum, { newest }) => sum + 2 * Math.max(1, members - 1) * newest.experts ** 2, 0);
  return Math.max(FEWEST, Math.min(MOST, Math.floor(WORK / pairs)));
}

/**
 * Looks at every layer of every member, one after the other: in memory are one router, samples of two, and
 * the logits of all.
 *
 * @throws MergeError E_INPUT_CHANGED where a file is shorter than its header says, and as `gramOf` does;
 *   `signal.reason` on an abort
 */
export async function examineLayers(layers: readonly MemberLayers[], options: ExamineOptions): Promise<Examined> {
  const reader = new CountingReader();
  const size = sampleSize(layers, options.checkpoints.length);
  const experts = layers.reduce((sum, { newest }) => sum + newest.experts * options.checkpoints.length, 0);
  const most = Math.max(1, Math.floor(MOST_READS / experts));
  const warnings: Warning[] = [];
  const reports: LayerReport[] = [];
  let expertElements: number | null = null;
  try {
    for (const layer of layers) {
      const known = new Map<RouterLayer, SamplePlan | null>();
      const plans = options.checkpoints.map((_, m) => {
        const own = layer.members[m]!;
        // Equal headers share their layers.
        const plan = known.get(own) ?? planSample(own, options.units[m]!, { size, most, seed: options.seed });
        known.set(own, plan);
        return plan;
      });
      if (plans.every((plan) => plan !== null)) expertElements = Math.max(expertElements ?? 0, plans[0]!.width);
      reports.push(await examineLayer(layer, plans, { ...options, reader, size, warnings }));
      options.onProgress?.(reports.length, layers.length);
    }
  } finally {
    await reader.close();
  }
  const columns = Math.max(...layers.map(({ newest }) => Math.min(newest.width, size)));
  return { layers: reports, sample: { routerColumns: columns, expertElements }, bytesRead: reader.bytes, warnings };
}

interface LayerOptions extends Omit<ExamineOptions, 'onProgress'> {
  readonly reader: ByteReader;
  readonly size: number;
  readonly warnings: Warning[];
}

async function examineLayer(layer: MemberLayers, plans: readonly (SamplePlan | null)[], options: LayerOptions): Promise<LayerReport> {
  const { checkpoints, weights, routing, reader, seed, size, threads, memory, signal, warnings } = options;
  const { experts, width, router } = layer.newest;
  const { broken, drift, overall, midpoint } = await layerDrift(layer, checkpoints, weights, { threads, memory, signal });
  for (const [m, { path }] of checkpoints.entries()) {
    if (broken[m]! > 0)
      warnings.push({ code: 'W_ROUTER', message: `${router.name} of ${path} holds NaN or infinity, ${plural(broken[m]!, 'number')}` });
  }
  const columns = routerColumns(width, size, seed);
  const inputs = routing === null ? null : await options.inputs(layer, reader);
  const identity: PairIdentity[] = [];
  const logits: RouterLogits[] = [];
  const biases: (Float64Array | null)[] = [];
  let previous: Seen | null = null;
  for (const [m, checkpoint] of checkpoints.entries()) {
    signal?.throwIfAborted();
    const own = await lookAtRouter(reader, checkpoint, layer.members[m]!, columns, inputs);
    if (own.logits !== null) logits.push(own.logits);
    biases.push(own.correctionBias);
    const plan = plans[m]!;
    const seen: Seen = {
      rows: unitRows(own.columns, experts, routing?.score === 'softmax'),
      experts: plan === null ? null : unitRows(await readSample(checkpoint, plan, experts, reader), experts, false),
      sampled: plan?.key ?? null,
    };
    if (previous !== null) identity.push(pairIdentity(previous, seen));
    previous = seen;
  }
  const withBias = (a: number, b: number) => {
    const [x, y] = [biases[a] ?? null, biases[b] ?? null];
    return { correctionBias: x === null || y === null ? null : biasDrift(x, y) };
  };
  return {
    ...{ layer: layer.layer, mtp: layer.mtp, name: router.name, experts, hidden: width, identity },
    drift: drift.map((pair, m) => ({ ...pair, ...withBias(m, m + 1) })),
    overall: overall === null ? null : { ...overall, ...withBias(0, checkpoints.length - 1) },
    midpoint,
    choice: inputs === null ? null : layerChoice(routing!, layer.layer, experts, inputs, logits, weights),
  };
}

function pairIdentity(a: Seen, b: Seen): PairIdentity {
  const comparable = a.experts !== null && b.experts !== null && a.sampled === b.sampled;
  const measure = (x: UnitRows, y: UnitRows): Measure => ({ cosines: cosines(x, y), width: x.width });
  return identityOf(measure(a.rows, b.rows), comparable ? measure(a.experts, b.experts) : null, a.rows.count);
}

class CountingReader extends ByteReader {
  bytes = 0;

  override read(path: string, offset: number, length: number): Promise<Buffer> {
    this.bytes += length;
    return super.read(path, offset, length);
  }
}
