import type { Conflict } from '../../../base/errors.ts';
import { extentsOf } from '../../../checkpoints/tensors/extents.ts';
import type { Checkpoint } from '../../../checkpoints/types.ts';
import type { QuantisedWork } from './types.ts';

/** Codes and scales that a member holds in several places: strips of them are read in one piece. */
export function conflictsInParts(works: readonly Pick<QuantisedWork, 'sources'>[], members: readonly Checkpoint[]): Conflict[] {
  return works.flatMap(({ sources }) =>
    sources.flatMap((source, m): Conflict[] => {
      const member = members[m]!;
      const place = [source?.codes, source?.scales].find((of) => of != null && extentsOf(member, of).length !== 1);
      if (place == null) return [];
      const tensor = member.shards[place.shard]!.tensors.names[place.row]!;
      const message = `tensor ${tensor} is quantised and stored in parts in ${member.path}: its codes and scales are read in one piece only`;
      return [{ code: 'E_LAYOUT_FORM', message, file: member.path, tensor, help: IN_PARTS_HELP }];
    }),
  );
}

const IN_PARTS_HELP = 'Write the checkpoint with its tensors whole first (`merge convert CKPT -o DIR`), and merge what that gives.';
