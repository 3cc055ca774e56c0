import type { Conflict } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import type { CheckpointRoles } from './checkpoint-roles.ts';
import { layerConflicts } from './layer-checks.ts';
import { type MoeBlock, moeBlocks } from './moe-blocks.ts';
import { type ConfiguredExperts, configuredExperts, conflict, expertsThere, moeConflicts, routerRows } from './moe-checks.ts';
import { stackedLayers } from './stacked-layers.ts';

/** What the tensors say of a model's layers of experts. */
export interface Structure {
  /** In the order of stacks and layers. */
  readonly expertLayers: readonly ExpertLayer[];
  readonly conflicts: readonly Conflict[];
}

export interface ExpertLayer {
  /** Name up to the layer's number, as `model.layers`. */
  readonly stack: string;
  readonly layer: number;
  readonly mtp: boolean;
  /** Null where neither tensors nor router tell. */
  readonly experts: number | null;
}

/**
 * What cannot be right in a checkpoint, from its headers and configuration alone: experts, routers, layers.
 * Only what is proved is told, so a part of a model, a family whose layers differ, and multi-token prediction
 * left out by a saver are no faults.
 *
 * @returns E_EXPERT_MISSING, E_EXPERT_EXTRA, E_EXPERT_SHAPE, E_ROUTER_SHAPE, E_ROUTER_MISSING, E_HALF_FUSED,
 *   E_LAYER_MISSING, E_CONFIG_TENSORS
 */
export function structureConflicts(checkpoint: Checkpoint, roles: CheckpointRoles): readonly Conflict[] {
  return structure(checkpoint, roles).conflicts;
}

/** {@link structureConflicts}, and which layers have experts. */
export function structure(checkpoint: Checkpoint, roles: CheckpointRoles): Structure {
  // Files of ranks hold slices, whose shapes say nothing of the whole.
  if (checkpoint.namesPerFile) return { expertLayers: [], conflicts: [] };
  const blocks = moeBlocks(checkpoint, roles);
  const config = ofAllKinds(blocks, configuredExperts(roles.config));
  const told = configConflict(blocks, config, checkpoint.path);
  const believed = told === null ? config : { ...config, count: null };
  const withExperts = blocks.filter(({ numbered, fused }) => numbered.length + fused.length > 0);
  const conflicts = [
    ...(told === null ? [] : [told]),
    ...withExperts.flatMap((block) => moeConflicts(block, believed, checkpoint.path)),
    ...unevenConflicts(blocks, checkpoint.path),
    ...layerConflicts(checkpoint, roles),
  ];
  const expertLayers = [
    ...withExperts.map((block) => ({ stack: block.stack, layer: block.layer, mtp: block.mtp, experts: realExperts(block, config) })),
    ...stackedExperts(checkpoint, roles),
  ].sort((a, b) => (a.stack === b.stack ? a.layer - b.layer : a.stack < b.stack ? -1 : 1));
  return { expertLayers, conflicts };
}

/** Layers that lie in one tensor, and the experts on the axis after them. */
function stackedExperts(checkpoint: Checkpoint, roles: CheckpointRoles): ExpertLayer[] {
  const { stacks, of } = stackedLayers(checkpoint, roles);
  if (stacks.size === 0) return [];
  const found = new Map<string, { readonly layers: number; readonly mtp: boolean; readonly experts: number }>();
  for (const [shard, { tensors }] of checkpoint.shards.entries()) {
    for (const [row, shape] of tensors.shapes.entries()) {
      const { role, mtp, expert } = roles.of(shard, row);
      const held = role === 'expert' && expert === 'all' && shape.length > 3 ? of(shard, row) : null;
      if (held !== null && !found.has(held.stack)) found.set(held.stack, { layers: held.layers, mtp, experts: shape[1]! });
    }
  }
  return [...found].flatMap(([stack, { layers, mtp, experts }]) =>
    Array.from({ length: layers }, (_, layer) => ({ stack, layer, mtp, experts })),
  );
}

/**
 * Ernie's layers have experts for text and experts for images, each with a router, and its configuration
 * counts one kind.
 */
function ofAllKinds(blocks: readonly MoeBlock[], config: ConfiguredExperts): ConfiguredExperts {
  const { count } = config;
  const kinds = blocks.find(({ routers }) => routers.length > 1)?.routers.length;
  if (count === null || kinds === undefined) return config;
  const all = blocks.every((block) => (expertsThere(block) ?? count * kinds) === count * kinds);
  return all ? { ...config, count: count * kinds } : config;
}

/**
 * Experts of a layer, without those that do nothing, for which some writers store matrices all the same
 * (LongCat).
 */
function realExperts(block: MoeBlock, config: ConfiguredExperts): number | null {
  const there = expertsThere(block) ?? routerRows(block, config);
  return config.count !== null && there === config.count + config.spare ? config.count : there;
}

/**
 * All blocks agree on a number of experts and the configuration says another: it is the configuration that is
 * wrong, told once.
 */
function configConflict(blocks: readonly MoeBlock[], config: ConfiguredExperts, path: string): Conflict | null {
  if (config.count === null) return null;
  const counts = new Set<number>();
  for (const block of blocks) {
    const rows = routerRows(block, config);
    const there = expertsThere(block);
    if (rows !== null && there !== null && rows !== there && rows !== there + config.spare) return null;
    const count = there ?? rows;
    if (count !== null) counts.add(count);
  }
  const [count] = counts;
  if (counts.size !== 1 || count === config.count || count === config.count + config.spare) return null;
  const message = `${path}: config.json says ${config.count} experts, and every mixture of experts in the tensors has ${count}`;
  return { code: 'E_CONFIG_TENSORS', message, file: path };
}

/** A mixture that lacks its router, all its experts, or one of their matrices, where all others have it. */
function unevenConflicts(blocks: readonly MoeBlock[], path: string): Conflict[] {
  const withExperts = blocks.filter(({ numbered, fused }) => numbered.length + fused.length > 0);
  if (withExperts.length < 2) return [];
  const conflicts: Conflict[] = [];
  const withRouter = withExperts.filter(({ routers, hashed }) => routers.length > 0 || hashed);
  if (withRouter.length * 2 > withExperts.length) {
    for (const block of withExperts.filter((other) => !withRouter.includes(other))) {
      const like = withRouter.find(({ routers }) => routers.length > 0);
      const name = like === undefined ? 'router' : inLayer(like.routers[0]!.name, like, block);
      conflicts.push(conflict('E_ROUTER_MISSING', path, name, `layer ${block.layer} has experts and no router`));
    }
  }
  for (const { routers, layer, numbered, fused } of blocks) {
    const [router] = routers;
    if (router === undefined || numbered.length + fused.length > 0) continue;
    conflicts.push(conflict('E_EXPERT_MISSING', router.file, router.name, `is the router of layer ${layer}, which has no experts`));
  }
  const kinds = withExperts.map((block) => ({ block, matrices: matricesOf(block) }));
  for (const same of groupBy(kinds, ({ block }) => (block.numbered.length > 0 ? 'numbered' : 'fused')).values()) {
    for (const { block, matrices } of same) {
      const others = same.filter(({ block: other }) => other !== block && suffixOf(other) === suffixOf(block));
      if (others.length < 2) continue;
      const common = [...others[0]!.matrices.keys()].filter((key) => others.every((other) => other.matrices.has(key)));
      for (const key of common.filter((key) => !matrices.has(key))) {
        const name = inLayer(others[0]!.matrices.get(key)!, others[0]!.block, block);
        conflicts.push(
          conflict(
            'E_EXPERT_MISSING',
            path,
            name,
            `no expert of layer ${block.layer} has this tensor, and those of all other layers have it`,
          ),
        );
      }
    }
  }
  return conflicts;
}

/**
 * The name of an example of each kind of matrix, by projection: a quantised `weight_packed` is the matrix
 * `weight` is.
 */
function matricesOf({ numbered, fused }: MoeBlock): Map<string, string> {
  const examples = [
    ...numbered.map(({ prefix, suffix, experts, projection }) => ({ name: `${prefix}${experts[0]}${suffix}`, projection })),
    ...fused,
  ];
  return new Map(examples.map(({ name, projection }) => [`${projection}${/bias/.test(name) ? ' bias' : ''}`, name]));
}

/** Blocks are compared with those of the same place in their layers. */
function suffixOf({ numbered, fused, stack, layer }: MoeBlock): string {
  const name = numbered[0]?.prefix ?? fused[0]!.name;
  const place = name.slice(`${stack}.${layer}`.length);
  return `${stack} ${numbered.length > 0 ? place : place.split('.').slice(0, 2).join('.')}`;
}

/** A tensor's name in another block's layer. */
function inLayer(name: string, from: MoeBlock, to: MoeBlock): string {
  return `${to.stack}.${to.layer}${name.slice(`${from.stack}.${from.layer}`.length)}`;
}
