import { elementCount } from '../../checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { type CheckpointRoles, tensorName } from '../roles/checkpoint-roles.ts';
import { CONFIG_KEYS, configNumber } from '../roles/model-config.ts';
import type { Role, TensorRole } from '../roles/types.ts';
import { canonicalName, isNativeQueryOrKey } from './names.ts';

/** One matrix or vector of a model, as every layout of it knows it. */
export interface WeightUnit {
  /** The same for the same weights under any name, in any layout. */
  readonly key: string;
  /** Its elements in the tensor that holds it. */
  readonly from: number;
  readonly elements: number;
  /** Its own axes, without those of one; null where the tensor does not tell them. */
  readonly shape: readonly number[] | null;
}

/** A matrix or bias of one routed expert. */
export interface ExpertUnit extends Omit<WeightUnit, 'key'> {
  readonly expert: number;
  /** `gate weight`, `down bias`: what it is in its expert, whatever the layout. */
  readonly part: string;
}

/** What a tensor holds. */
export interface Held<Unit = WeightUnit> {
  readonly units: readonly Unit[];
  /** Why the units are not runs of elements of this tensor, or not known to be; null where they are. */
  readonly refused: string | null;
}

/** One of each in a layer, whatever the block around it is called. */
const ROUTING: ReadonlySet<Role> = new Set(['router', 'router_bias', 'router_correction_bias', 'shared_expert_gate']);
/**
 * Stacks of experts as [E, in, out], gate and up alternating where they are together: transformers' own
 * modelling code.
 */
const TRANSPOSED = new Set(['gpt_oss', 'llama4', 'llama4_text', 'qwen3_vl_moe', 'qwen3_vl_moe_text', 'aria', 'aria_text']);
const INTERLEAVED = new Set(['gpt_oss']);
/**
 * Two matrices of an MLP in one, gate before up: transformers' own modelling code (`chunk(2)`, the first half
 * activated).
 */
const GATE_FIRST = new Set(['phi3', 'phimoe', 'glm', 'glm4', 'granite', 'granitemoe', 'granitemoeshared', 'granitemoehybrid']);

/** The convolutions of queries, keys and values are one in transformers, and three in the models' own files. */
const ONE_CONVOLUTION = new Set(['kimi_linear', 'bailing_hybrid']);

/** Takes the tensors of one checkpoint apart. */
export class Units {
  readonly #checkpoint: Checkpoint;
  readonly #roles: CheckpointRoles;
  readonly #hidden: number | null;

  constructor(checkpoint: Checkpoint, roles: CheckpointRoles) {
    this.#checkpoint = checkpoint;
    this.#roles = roles;
    this.#hidden = configNumber(roles.config, CONFIG_KEYS.hidden);
  }

  /** @param shard index into the checkpoint's shards @param row of its tensor table */
  of(shard: number, row: number): Held {
    const name = tensorName(this.#checkpoint, shard, row);
    const role = this.#roles.of(shard, row);
    const shape = this.#checkpoint.shards[shard]!.tensors.shapes[row]!;
    const kind = kindOf(name);
    const place = placeOf(name, role);
    if (role.role === 'expert' && role.projection !== null) {
      const { units, refused } = this.experts(name, role, shape);
      return { units: units.map(({ expert, part, ...unit }) => ({ key: `${place} expert ${expert} ${part}`, ...unit })), refused };
    }
    if ((role.role === 'mlp' || role.role === 'shared_expert') && role.projection !== null)
      return this.#dense(name, place, role, shape, kind);
    if (role.role !== null && ROUTING.has(role.role)) return whole(`${place} ${role.role} ${kind}`, shape);
    if (isNativeQueryOrKey(name)) {
      const key = canonicalName(name).replace(/\.self_attn\.w([qk])\./, '.self_attn.$1_proj.');
      return { ...whole(key, shape), refused: 'its rows are in another order, for another form of RoPE, than in files of transformers' };
    }
    if (role.family !== null && ONE_CONVOLUTION.has(role.family) && /\.conv1d\.weight$/.test(name))
      return thirds(canonicalName(name), shape);
    return whole(canonicalName(name), shape);
  }

  /**
   * What a tensor of routed experts holds of each of them.
   * @param role of the tensor, with a projection
   */
  experts(name: string, role: Pick<TensorRole, 'expert' | 'projection' | 'family'>, shape: readonly number[]): Held<ExpertUnit> {
    const kind = kindOf(name);
    const part = (projection: string): string => `${projection} ${kind}`;
    if (typeof role.expert === 'number') {
      const { units, refused } = role.projection === 'gate_up' ? this.#halves(shape, part, 1, 0) : whole(part(role.projection!), shape);
      return { units: units.map(({ key, ...unit }) => ({ ...unit, expert: role.expert as number, part: key })), refused };
    }
    const [stacked, ...one] = shape;
    const apart = shape.length === 3 || (kind === 'bias' && shape.length === 2);
    const experts = kind === 'bias' || shape.length === 3 ? stacked! : (this.#roles.context.experts ?? 0);
    const each = elementCount(shape) / experts;
    if (role.expert !== 'all' || !Number.isInteger(each)) return { units: [], refused: 'how it holds its experts is not known' };
    const own = apart ? squeezed(one) : null;
    const units: ExpertUnit[] = [];
    let refused = this.#stackRefusal(role, shape, kind);
    for (let expert = 0; expert < experts; expert++) {
      if (role.projection === 'gate_up') {
        const held = this.#halves(apart ? one : null, part, 2, expert * each, each);
        units.push(...held.units.map(({ key, ...unit }) => ({ ...unit, expert, part: key })));
        refused ??= held.refused;
      } else {
        units.push({ expert, part: part(role.projection!), from: expert * each, elements: each, shape: own });
      }
    }
    return { units, refused };
  }

  /** Why the matrices of a stack of experts are not runs of its elements. */
  #stackRefusal({ family, projection }: Pick<TensorRole, 'family' | 'projection'>, shape: readonly number[], kind: string): string | null {
    if (family !== null && INTERLEAVED.has(family) && projection === 'gate_up') {
      return `the rows of gate and up alternate in ${family}, and its experts are [experts, in, out]`;
    }
    if (kind === 'bias') return null;
    if (shape.length > 3) return 'its codes lie in blocks with an axis of their own';
    if (family !== null && TRANSPOSED.has(family)) return `the experts of ${family} are stored transposed, [experts, in, out]`;
    if (shape.length === 2) {
      return projection === 'down' ? 'its experts lie on one axis, and their down projections are stored transposed there' : null;
    }
    const [, rows, columns] = shape;
    const [outer, inner] = projection === 'down' ? [rows, columns] : [columns, rows];
    if (this.#hidden === null || outer === this.#hidden) return null;
    return inner === this.#hidden
      ? `its experts are stored transposed: [${shape.join(', ')}] where the hidden size is ${this.#hidden}`
      : null;
  }

  #dense(name: string, place: string, role: TensorRole, shape: readonly number[], kind: string): Held {
    // LongCat has two MLPs a layer, some models a dense one beside the experts: the part before the matrix
    // tells them apart.
    const block = role.role === 'shared_expert' ? 'shared' : (/\.mlps\.(\d+)\./.exec(name)?.[1] ?? 'mlp');
    const key = (projection: string): string => `${place} ${block} ${projection} ${kind}`;
    return role.projection === 'gate_up'
      ? this.#halves(shape, key, 1, 0, elementCount(shape), role.family)
      : whole(key(role.projection!), shape);
  }

  /**
   * Gate and up in one tensor.
   * @param shape of both together; null where it is not known
   * @param stacked 2 where the order is that of transformers' fused experts
   */
  #halves(
    shape: readonly number[] | null,
    key: (projection: string) => string,
    stacked: 1 | 2,
    from: number,
    elements = elementCount(shape!),
    family = this.#roles.context.family,
  ): Held {
    const half = elements / 2;
    const [rows, ...columns] = shape ?? [];
    const own = rows === undefined || rows % 2 !== 0 ? null : squeezed([rows / 2, ...columns]);
    const units = [
      { key: key('gate'), from, elements: half, shape: own },
      { key: key('up'), from: from + half, elements: half, shape: own },
    ];
    if (stacked === 2 || (family !== null && GATE_FIRST.has(family))) return { units, refused: null };
    return { units, refused: `whether gate or up comes first in it is not known for ${family ?? 'a model without config.json'}` };
  }
}

/**
 * The layer a tensor lies in, by the same words under any name: encoders, decoders, towers and multi-token
 * prediction count their own.
 */
export function placeOf(name: string, { layer, mtp, tower }: Pick<TensorRole, 'layer' | 'mtp' | 'tower'>): string {
  const canonical = canonicalName(name);
  const stack = typeof layer === 'number' ? canonical.slice(0, canonical.indexOf(`.${layer}.`)) : '';
  return `${tower ?? ''}${mtp ? 'mtp ' : ''}${stack} ${layer}`;
}

function kindOf(name: string): string {
  return name.endsWith('bias') ? 'bias' : 'weight';
}

/** Three convolutions of one size, one after the other. */
function thirds(key: string, [channels, ...kernel]: readonly number[]): Held {
  const own = [channels! / 3, ...kernel];
  const elements = elementCount(own);
  if (!Number.isInteger(elements)) return { units: [], refused: 'its convolutions are of different sizes' };
  const units = ['q', 'k', 'v'].map((one, i) => ({
    key: key.replace(/conv1d\.weight$/, () => `${one}_conv1d.weight`),
    from: i * elements,
    elements,
    shape: squeezed(own),
  }));
  return { units, refused: null };
}

function whole(key: string, shape: readonly number[]): Held {
  return { units: [{ key, from: 0, elements: elementCount(shape), shape: squeezed(shape) }], refused: null };
}

/** Axes of one say nothing of the order of elements. */
function squeezed(shape: readonly number[]): number[] {
  return shape.filter((size) => size !== 1);
}
