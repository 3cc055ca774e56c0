import type { ScheduleMember } from '../../recipe/schedule/types.ts';
import { boxOf } from './box.ts';
import { type Dimension, integerDimension, listDimension, realDimension } from './dimension.ts';
import type { Space, SpaceParameter } from './types.ts';
import { quantileDimension } from './weights.ts';

/**
 * A space as a file of trials keeps it, without the checkpoints: enough to draw and to judge by, not to make
 * recipes.
 */
export type StoredSpace = Pick<Space, 'name' | 'members' | 'parameters' | 'axes' | 'decode' | 'encode'>;

export function storedSpace(name: Space['name'], parameters: readonly SpaceParameter[], members: readonly ScheduleMember[]): StoredSpace {
  return { name, members, ...boxOf(parameters.map((parameter) => dimensionOf(name, parameter))) };
}

function dimensionOf(space: Space['name'], { name, kind, low, high, log, values }: SpaceParameter): Dimension {
  if (space === 'weights') return quantileDimension(name);
  if (kind === 'choice') return listDimension(name, values!);
  return kind === 'integer' ? integerDimension(name, low!, high!) : realDimension(name, low!, high!, log);
}
