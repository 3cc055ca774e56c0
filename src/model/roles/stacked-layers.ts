import { dtypeByCode } from '../../base/dtype.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from './checkpoint-roles.ts';
import type { Role } from './types.ts';

/** The layers that a tensor holds one after another. */
export interface StackedLayers {
  /** Name up to where the layer's number would be, as `decoder.layers`. */
  readonly stack: string;
  /** Size of the first axis. */
  readonly layers: number;
}

const CONTAINER = /^(?:.*?\.)?(?:layers|blocks)(?=\.(?!\d))/;
/** Axes of one layer's weights, by which a tensor of many has one more. */
const AXES: Readonly<Partial<Record<Role, number>>> = { attn: 2, mlp: 2, ssm: 2, shared_expert: 2, router: 2, expert: 3 };
/** What counts layers; what stands beside weights (scales, adapters, an optimizer) may have other axes. */
const OF_LAYERS: ReadonlySet<Role | null> = new Set<Role>([
  ...(Object.keys(AXES) as Role[]),
  'norm',
  'router_bias',
  'router_correction_bias',
  'shared_expert_gate',
]);

/**
 * Which tensors have their layers as the first axis, as Megatron-core saves layers that are all alike. A name
 * without a number proves nothing (MaxText has layers on the second axis), so every tensor of a stack has to
 * agree on the number, and some matrix has to have an axis more than one layer's.
 *
 * @returns null for tensors of one layer, of none, and of layers on an axis that is not known
 */
export function stackedLayers(
  { shards, namesPerFile }: Checkpoint,
  roles: CheckpointRoles,
): { readonly stacks: ReadonlyMap<string, number>; readonly of: (shard: number, row: number) => StackedLayers | null } {
  const sizes = new Map<string, Set<number>>();
  const proved = new Set<string>();
  for (const [shard, { tensors }] of namesPerFile || !roles.stacked ? [] : shards.entries()) {
    const { names, shapes, dtypes, count } = tensors;
    for (let row = 0; row < count; row++) {
      const { role, layer } = roles.of(shard, row);
      if (layer !== 'all' || !OF_LAYERS.has(role) || dtypeByCode(dtypes[row]!).kind !== 'float') continue;
      const stack = CONTAINER.exec(names[row]!)?.[0];
      if (stack === undefined) continue;
      const shape = shapes[row]!;
      // A vector has no axis for layers.
      const own = sizes.get(stack) ?? new Set<number>();
      sizes.set(stack, own.add(shape.length < 2 ? 0 : shape[0]!));
      if (shape.length === 1 + (AXES[role!] ?? Number.POSITIVE_INFINITY)) proved.add(stack);
    }
  }
  const stacks = new Map<string, number>();
  for (const [stack, [layers, other]] of sizes) if (other === undefined && layers! > 0 && proved.has(stack)) stacks.set(stack, layers!);
  return {
    stacks,
    of: (shard, row) => {
      const { role, layer } = roles.of(shard, row);
      if (stacks.size === 0 || layer !== 'all' || !OF_LAYERS.has(role)) return null;
      const { names, dtypes } = shards[shard]!.tensors;
      const stack = CONTAINER.exec(names[row]!)?.[0];
      const layers = stack === undefined || dtypeByCode(dtypes[row]!).kind !== 'float' ? undefined : stacks.get(stack);
      return layers === undefined ? null : { stack: stack!, layers };
    },
  };
}
