import { join } from 'node:path';
import { storeOf } from '../../base/store/store.ts';
import { fingerprintLike } from '../../checkpoints/fingerprint.ts';
import { openCheckpoint } from '../../checkpoints/open.ts';
import { readWeightsFile } from '../../recipe/file/weights-file.ts';
import type { Grid, GridArm } from '../../recipe/grid/types.ts';
import { policiesOf } from '../../recipe/policy/keys.ts';
import { policyText } from '../../recipe/policy/text.ts';
import { copiedFrom } from '../record/copied-from.ts';
import { isWithState, type Provenance } from '../record/provenance.ts';

/** Bytes of a merge by its record, but for the record itself, the recipe and the card; null where a file is another. */
export async function recordedBytes(path: string, { files, sideFiles = [] }: Provenance): Promise<number | null> {
  const all = [...files, ...sideFiles];
  const sizes = await Promise.all(
    all.map(({ name }) =>
      storeOf(path)
        .stat(join(path, name))
        .then(
          ({ size }) => size,
          () => null,
        ),
    ),
  );
  return all.every(({ bytes }, i) => sizes[i] === bytes) ? all.reduce((sum, { bytes }) => sum + bytes, 0) : null;
}

/**
 * Whether a record is that of a merge of a grid some members of which are not there any more, or only as copies of
 * the model alone, so that no plan can be made whose digest could be compared: everything that decides the digest, as
 * far as it is known without them. Of the members that are still there the content is compared, too; a copy is
 * compared by what its record says that it is of.
 */
export async function isRecordOf({ recipe }: Provenance, arm: GridArm, grid: Grid, signal?: AbortSignal): Promise<boolean> {
  const { members, schedule, treatment } = arm;
  const weighed = members.flatMap((member, i) => (schedule.weights[i] === 0 ? [] : [{ ...member, weight: schedule.weights[i]! }]));
  const recorded = recipe.members.filter(({ weight }) => weight !== 0);
  const file = treatment.weightsFile === undefined ? null : await readWeightsFile(treatment.weightsFile);
  const policies = [...policiesOf(treatment), ...(file?.policies ?? [])].map(policyText);
  const same =
    weighed.length === recorded.length &&
    weighed.every(({ step, weight }, i) => recorded[i]!.step === step && recorded[i]!.weight === weight) &&
    recipe.method === schedule.method &&
    // A start for more training is stored as its container has it.
    (recipe.dtype === (treatment.dtype ?? null) || (treatment.dtype === undefined && treatment.for === 'resume')) &&
    recipe.purpose === (treatment.for ?? null) &&
    policies.length === recipe.policies.length &&
    policies.every((text, i) => recipe.policies[i]!.policy === text) &&
    (grid.format === undefined || grid.format === (recipe.format ?? 'safetensors'));
  if (!same) return false;
  const withState = isWithState(recipe);
  for (const [i, { checkpoint }] of weighed.entries()) {
    signal?.throwIfAborted();
    if (checkpoint === null) continue;
    const { fingerprint } = recorded[i]!;
    const same = (await fingerprintLike(await openCheckpoint(checkpoint.path, { withState }), fingerprint, signal)) === fingerprint;
    if (!same && (await copiedFrom(checkpoint.path)) !== fingerprint) return false;
  }
  return true;
}
