import { type DtypeName, dtypeByCode } from '../../base/dtype.ts';
import { FLOAT_BYTES } from '../../base/numbers/float.ts';
import { elementCount } from '../../checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { placeOf } from '../layout/units.ts';
import { type CheckpointRoles, tensorName } from '../roles/checkpoint-roles.ts';
import { CONFIG_KEYS, configNumber } from '../roles/model-config.ts';
import { stackedLayers } from '../roles/stacked-layers.ts';
import type { Role, TensorRole } from '../roles/types.ts';
import { precedingNorm } from './preceding-norm.ts';
import type { ExpertTensor, RouterLayer, Routers, RoutingTensor } from './types.ts';

const ROLES = ['router', 'router_bias', 'router_correction_bias', 'router_buffer', 'norm', 'expert'] as const satisfies readonly Role[];
type Wanted = (typeof ROLES)[number];
const WANTED: ReadonlySet<Role | null> = new Set(ROLES);

/** The tensors of one layer that routing is about. */
interface Found extends Record<Wanted, RoutingTensor[]> {
  /** Start of all their names, as `model.layers.3.`; `decoder.layers.` where tensors hold many layers. */
  readonly prefix: string;
  readonly place: string;
  readonly layer: number;
  readonly mtp: boolean;
  readonly experts: ExpertTensor[];
}

/**
 * Finds the router of every mixture-of-experts layer, its biases, the norm before it and the experts it leads
 * to: from headers alone.
 */
export function routersOf(checkpoint: Checkpoint, roles: CheckpointRoles): Routers {
  const skipped: { tensor: string; reason: string }[] = [];
  const layers: RouterLayer[] = [];
  for (const found of tensorsByLayer(checkpoint, roles, skipped)) {
    // Attention may have experts, and so a router, too (JetMoE): they are another mixture.
    const [attention, own] = split(found.router, ({ name }) => /attn|attention/.test(name.slice(found.prefix.length)));
    for (const { name } of attention) skipped.push({ tensor: name, reason: 'it chooses among attention heads, not experts' });
    const [router, ...others] = own;
    if (router === undefined) continue;
    if (others.length > 0) {
      for (const { name } of own)
        skipped.push({ tensor: name, reason: 'this layer has several router tensors, so none tells the choice alone' });
      continue;
    }
    const reason = unreadable(router);
    if (reason !== null) skipped.push({ tensor: router.name, reason });
    else layers.push(layerOf(found, router, roles));
  }
  layers.sort((a, b) => Number(a.mtp) - Number(b.mtp) || a.layer - b.layer);
  return { layers, skipped };
}

function tensorsByLayer(checkpoint: Checkpoint, roles: CheckpointRoles, skipped: { tensor: string; reason: string }[]): Iterable<Found> {
  if (!hasRouters(checkpoint, roles)) return [];
  const layers = new Map<string, Found>();
  const stacked = stackedLayers(checkpoint, roles);
  let last: Found | undefined;
  for (const [shard, { tensors }] of checkpoint.shards.entries()) {
    for (let row = 0; row < tensors.count; row++) {
      const own = roles.of(shard, row);
      const { role, layer, mtp } = own;
      if (!WANTED.has(role)) continue;
      const name = tensorName(checkpoint, shard, row);
      const whole = { name, shard, row, dtype: dtypeByCode(tensors.dtypes[row]!).name, shape: tensors.shapes[row]!, from: 0 };
      const stack = stacked.of(shard, row);
      if (stack !== null) {
        const prefix = `${stack.stack}.`;
        const shape = whole.shape.slice(1);
        for (let l = 0; l < stack.layers; l++) {
          const key = `${prefix}${l}.`;
          const place = placeOf(key + name.slice(prefix.length), { ...own, layer: l });
          const found = layers.get(key) ?? nothing({ prefix, place, layer: l, mtp });
          layers.set(key, found);
          put(found, own, { ...whole, shape, from: l * elementCount(shape) });
        }
        continue;
      }
      if (typeof layer !== 'number') {
        if (role === 'router') skipped.push({ tensor: name, reason: 'its name does not say which layer it belongs to' });
        continue;
      }
      // Tensors of one layer follow each other.
      const same = last?.layer === layer && name.startsWith(last.prefix);
      const prefix: string = same ? last!.prefix : layerPrefix(name, layer);
      let found: Found | undefined = same ? last : layers.get(prefix);
      if (found === undefined) {
        found = nothing({ prefix, place: placeOf(name, own), layer, mtp });
        layers.set(prefix, found);
      }
      last = found;
      put(found, own, whole);
    }
  }
  return layers.values();
}

function nothing(of: Pick<Found, 'prefix' | 'place' | 'layer' | 'mtp'>): Found {
  return { ...of, router: [], router_bias: [], router_correction_bias: [], router_buffer: [], norm: [], expert: [], experts: [] };
}

function put(found: Found, { role, expert, projection, family }: TensorRole, tensor: RoutingTensor): void {
  if (role === 'expert' && expert !== null) found.experts.push({ ...tensor, expert, projection, family });
  else found[role as Wanted].push(tensor);
}

function hasRouters({ shards }: Checkpoint, roles: CheckpointRoles): boolean {
  return shards.some(({ tensors }, s) => tensors.names.some((_, row) => roles.of(s, row).role === 'router'));
}

/**
 * All of a name up to its layer's number, so that the layers of an encoder, a decoder and multi-token
 * prediction stay apart.
 */
function layerPrefix(name: string, layer: number): string {
  const at = name.indexOf(`.${layer}.`);
  return name.slice(0, at + String(layer).length + 2);
}

function unreadable({ shape, dtype }: RoutingTensor): string | null {
  if (!isPlain(dtype)) return `its dtype is ${dtype}, not a plain float`;
  if (shape.length !== 2) return `its shape is [${shape}], not experts by hidden size`;
  return null;
}

/** FP8 may have a scale beside it, so that its values are not those of the codes alone. */
function isPlain(dtype: DtypeName): boolean {
  return dtype in FLOAT_BYTES && !dtype.startsWith('F8_');
}

function layerOf(found: Found, router: RoutingTensor, roles: CheckpointRoles): RouterLayer {
  const [rows, columns] = router.shape as [number, number];
  const transposed = isTransposed(rows, columns, roles);
  const [experts, width] = transposed ? [columns, rows] : [rows, columns];
  const vector = (places: readonly RoutingTensor[], length: number) =>
    places.find(({ shape, dtype }) => isPlain(dtype) && shape.length > 0 && shape.reduce((a, b) => a * b) === length) ?? null;
  const norms = found.norm.filter((norm) => vector([norm], width) !== null);
  return {
    layer: found.layer,
    mtp: found.mtp,
    place: found.place,
    router,
    transposed,
    experts,
    width,
    logitBias: vector(found.router_bias, experts),
    correctionBias: vector(found.router_correction_bias, experts),
    norm: precedingNorm(found.prefix, router.name, norms),
    tokenTable: found.router_buffer.find(({ name }) => name.endsWith('tid2eid')) ?? null,
    expertTensors: found.experts.sort((a, b) => order(a.expert) - order(b.expert) || (a.name < b.name ? -1 : 1)),
  };
}

/**
 * Whether a router is [hidden, experts] (ERNIE-VL; Llama 4 in Meta's own files). Where no configuration
 * tells, experts are the shorter side.
 */
function isTransposed(rows: number, columns: number, { config, context }: CheckpointRoles): boolean {
  const experts = context.experts ?? 0;
  const counts = experts > 0 ? [experts, experts + (configNumber(config, CONFIG_KEYS.zeroExperts) ?? 0)] : [];
  if (counts.includes(rows)) return false;
  return counts.includes(columns) || rows > columns;
}

const order = (expert: number | 'all') => (expert === 'all' ? -1 : expert);

function split<T>(items: readonly T[], test: (item: T) => boolean): [T[], T[]] {
  return [items.filter(test), items.filter((item) => !test(item))];
}
