import { type Conflict, MergeError, type Warning } from '../../base/errors.ts';
import { groupBy } from '../../base/group-by.ts';
import { refuse } from '../../base/problems.ts';
import { haveSameTensors } from '../../checkpoints/tensors/table.ts';
import type { Checkpoint } from '../../checkpoints/types.ts';
import { Units } from '../layout/units.ts';
import { type CheckpointRoles, checkpointRoles } from '../roles/checkpoint-roles.ts';
import { structureConflicts } from '../roles/structure.ts';
import { routersOf } from '../routing/routers.ts';
import type { RouterLayer, Routers } from '../routing/types.ts';

/** One MoE layer in every member. */
export interface MemberLayers {
  readonly layer: number;
  readonly mtp: boolean;
  /** Of the newest member. */
  readonly newest: RouterLayer;
  /** [N] */
  readonly members: readonly RouterLayer[];
}

/** The layers that routers can be compared in. */
export interface ComparedLayers {
  readonly layers: readonly MemberLayers[];
  /** [N] by which the tensors of each member are found in any layout. */
  readonly units: readonly Units[];
  /** Of the newest member. */
  readonly roles: CheckpointRoles;
  readonly warnings: readonly Warning[];
}

/**
 * Pairs the MoE layers of checkpoints, the newest's for measure; layouts may differ, as in a merge. Reads configurations only. What cannot be
 * right in a checkpoint, as a missing expert, is a warning: routers can be looked at, though a merge is
 * refused.
 *
 * @throws MergeError E_NO_ROUTERS where the newest has none; E_TENSOR_MISSING, E_TENSOR_EXTRA, E_SHAPE
 *   (E_CONFLICTS for several kinds) where another has other layers or other numbers of experts, all of them
 *   in `details.conflicts`
 */
export async function compareLayers(checkpoints: readonly Checkpoint[]): Promise<ComparedLayers> {
  const roles = await Promise.all(checkpoints.map(checkpointRoles));
  const found = routersOfAll(checkpoints, roles);
  const newest = found.at(-1)!;
  const { path } = checkpoints.at(-1)!;
  if (newest.layers.length === 0) throw noRouters(checkpoints.at(-1)!, newest.skipped);
  const conflicts: Conflict[] = [];
  const wanted = new Map(newest.layers.map((layer) => [layer.place, layer]));
  const byPlace = found.map(({ layers }, m) => {
    const file = checkpoints[m]!.path;
    for (const { router, place } of layers) {
      if (!wanted.has(place))
        conflicts.push({
          code: 'E_TENSOR_EXTRA',
          message: `${file} has a router ${router.name}, which ${path} has not`,
          file,
          tensor: router.name,
        });
    }
    return new Map(layers.map((layer) => [layer.place, layer]));
  });
  for (const [place, { experts, width, transposed, router }] of wanted) {
    const { name } = router;
    for (const [m, layers] of byPlace.entries()) {
      const file = checkpoints[m]!.path;
      const other = layers.get(place);
      if (other === undefined)
        conflicts.push({ code: 'E_TENSOR_MISSING', message: `${file} has no router ${name}, which ${path} has`, file, tensor: name });
      else if (other.experts !== experts || other.width !== width) {
        const message = `router ${name} is for ${other.experts} experts of width ${other.width} in ${file}, for ${experts} of width ${width} in ${path}`;
        conflicts.push({ code: 'E_SHAPE', message, file, tensor: name });
      } else if (other.transposed !== transposed) {
        const message = `router ${other.router.name} is [${other.router.shape.join(', ')}] in ${file}, and ${name} [${router.shape.join(', ')}] in ${path}: one is the other transposed`;
        conflicts.push({ code: 'E_SHAPE', message, file, tensor: other.router.name });
      }
    }
  }
  refuse(conflicts, { several: (count) => `${count} routers do not fit each other` });
  return {
    layers: newest.layers.map((layer) => ({
      ...{ layer: layer.layer, mtp: layer.mtp, newest: layer },
      members: byPlace.map((layers) => layers.get(layer.place)!),
    })),
    units: checkpoints.map((checkpoint, m) => new Units(checkpoint, roles[m]!)),
    roles: roles.at(-1)!,
    warnings: [
      ...newest.skipped.map(({ tensor, reason }): Warning => ({ code: 'W_ROUTER', message: `${tensor} is left out: ${reason}` })),
      ...checkpoints.flatMap((checkpoint, m) =>
        structureConflicts(checkpoint, roles[m]!).map(({ message }): Warning => ({ code: 'W_ROUTER', message })),
      ),
    ],
  };
}

/**
 * The routers of checkpoints: the same objects where tensor tables are, as those of a run's steps mostly are,
 * for their experts may be tens of thousands.
 */
export function routersOfAll(checkpoints: readonly Checkpoint[], roles: readonly CheckpointRoles[]): Routers[] {
  const tables = ({ shards }: Checkpoint) => shards.map(({ tensors }) => tensors);
  const found: Routers[] = [];
  for (const [m, checkpoint] of checkpoints.entries()) {
    const before = checkpoints[m - 1];
    const own = tables(checkpoint);
    const shared =
      before !== undefined &&
      before.shards.length === own.length &&
      tables(before).every((table, s) => haveSameTensors(table, own[s])) &&
      JSON.stringify(roles[m - 1]!.context) === JSON.stringify(roles[m]!.context);
    found.push(shared ? found[m - 1]! : routersOf(checkpoint, roles[m]!));
  }
  return found;
}

function noRouters({ path }: Checkpoint, skipped: Routers['skipped']): MergeError {
  const [what, options] = [`${path} has no router that can be looked at`, { details: { file: path } }];
  // One name in several files.
  if (new Set(skipped.map(({ tensor }) => tensor)).size < skipped.length) {
    const help = 'Convert the checkpoints into whole tensors, as transformers saves them, and compare those.';
    return new MergeError('E_NO_ROUTERS', `${what}: its files are of single ranks, and hold slices of routers`, { ...options, help });
  }
  const why = [...groupBy(skipped, ({ reason }) => reason)].map(([reason, left]) => {
    const [first, ...more] = new Set(left.map(({ tensor }) => tensor));
    return more.length === 0 ? `; ${first} was left out: ${reason}` : `; ${first} and ${more.length} more were left out: ${reason}`;
  });
  return new MergeError('E_NO_ROUTERS', `${what}${why.join('')}`, options);
}
