import type { QuantisedTensors } from '../../../model/quantised/types.ts';
import type { QuantisedPlan, QuantisedRequest } from './types.ts';

/** A checkpoint of which every tensor is taken as it is, codes and scales too. */
export const NOTHING_QUANTISED: QuantisedTensors = { weights: [], activationScales: [], conflicts: [] };

/** The plan of its quantised weights: none. */
export function nothingQuantised({ layout, members }: Pick<QuantisedRequest, 'layout' | 'members'>): QuantisedPlan {
  const none = layout.shards.map(() => new Set<number>());
  return {
    handled: none,
    accounted: members.map(({ shards }) => shards.map(() => new Set<number>())),
    changes: { dropped: none, replaced: layout.shards.map(() => new Map()) },
    works: [],
    copies: [],
    arranged: members.map(() => 0),
    dequantised: false,
    conflicts: [],
    warnings: [],
  };
}
