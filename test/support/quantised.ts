import type { DtypeName } from '../../src/base/dtype.ts';
import { openCheckpoint } from '../../src/checkpoints/open.ts';
import type { Checkpoint } from '../../src/checkpoints/types.ts';
import { planQuantised } from '../../src/merge/plan/quantised/plan.ts';
import type { QuantisedOutput, QuantisedPlan, QuantisedRequest } from '../../src/merge/plan/quantised/types.ts';
import { writeCheckpoint } from './checkpoints.ts';

/** A tensor as `name dtype d0xd1xd2` (no sizes: a scalar). */
export type Line = string;
type Config = Readonly<Record<string, unknown>>;

/** A checkpoint of tensors of random bytes, a list of lines a shard. */
export function checkpointOf(
  folder: string,
  lines: readonly (readonly Line[])[],
  config: Config | null = null,
  seed = 1,
): Promise<Checkpoint> {
  const shards = lines.map((shard) =>
    shard.map((line) => {
      const [name, dtype, sizes = ''] = line.split(' ');
      return { name: name!, dtype: dtype as DtypeName, shape: sizes === '' ? [] : sizes.split('x').map(Number) };
    }),
  );
  writeCheckpoint(folder, shards, seed, { 'config.json': JSON.stringify(config ?? {}) });
  return openCheckpoint(folder);
}

/** The plan of a merge of checkpoints, the last one the layout. */
export function planOf(
  members: readonly Checkpoint[],
  configs: readonly (Config | null)[],
  outputs: readonly QuantisedOutput['dtype'][],
  options: {
    allowMixedDtypes?: boolean;
    layout?: Checkpoint;
    layoutConfig?: Config | null;
    roleOf?: QuantisedRequest['roleOf'];
    arrangement?: QuantisedRequest['arrangement'];
    treatmentOf?: QuantisedRequest['treatmentOf'];
  } = {},
): QuantisedPlan {
  return planQuantised({
    layout: options.layout ?? members.at(-1)!,
    layoutConfig: options.layout === undefined ? (configs.at(-1) ?? null) : (options.layoutConfig ?? null),
    members,
    memberConfigs: configs,
    participates: members.map(() => true),
    outputs: outputs.map((dtype, k) => ({ path: `out${k}`, dtype, newest: members.length - 1 })),
    allowMixedDtypes: options.allowMixedDtypes ?? false,
    treatmentOf: options.treatmentOf ?? (() => ({ kind: 'average', dtype: null })),
    roleOf: options.roleOf ?? (() => null),
    arrangement: options.arrangement ?? (() => ({ of: () => undefined, uses: () => false })),
  });
}
