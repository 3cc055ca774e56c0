import { MergeError } from '../../../base/errors.ts';
import { mapBounded } from '../../../base/map-bounded.ts';
import { placeOfMerge } from '../../../checkpoints/own-record.ts';
import { placeOfCheckpoint, withSiblings } from '../../../checkpoints/position.ts';
import type { Checkpoint, Position } from '../../../checkpoints/types.ts';
import type { OutputRequest, PlanInput, PlanRequest } from '../types.ts';

/** Checkpoints opened at a time. */
export const OPEN_AT_ONCE = 8;

/** An input that some output takes, with its place in the run. */
export interface PlacedInput extends Position {
  readonly checkpoint: Checkpoint;
}

/** Inputs that are in use, as given, and for each output which of them it takes. */
export interface PlacedInputs {
  readonly inputs: readonly PlacedInput[];
  readonly members: readonly (readonly number[])[];
}

/**
 * Opens the inputs that at least one output takes. What a {@link PlanInput} says of its place is believed;
 * what it leaves out is read.
 *
 * @throws MergeError E_OPTION where the members of an output are no ascending indices of inputs; what opening
 *   a checkpoint throws
 */
export async function placeInputs(
  { inputs, outputs }: Pick<PlanRequest, 'inputs' | 'outputs'>,
  open: (path: string) => Promise<Checkpoint>,
): Promise<PlacedInputs> {
  const members = outputs.map((output) => membersOf(output, inputs.length));
  const used = [...new Set(members.flat())].sort((a, b) => a - b);
  const place = new Map(used.map((index, i) => [index, i]));
  const opened = await mapBounded(used, OPEN_AT_ONCE, async (index) => {
    const given = inputs[index]!;
    return placed(typeof given === 'string' ? { path: given } : given, open);
  });
  return {
    inputs: withSiblings(opened, ({ checkpoint }) => checkpoint.path),
    members: members.map((list) => list.map((index) => place.get(index)!)),
  };
}

function membersOf({ path, members }: OutputRequest, inputs: number): readonly number[] {
  if (members === undefined) return Array.from({ length: inputs }, (_, i) => i);
  const ascending = members.every((m, i) => Number.isInteger(m) && m >= 0 && m < inputs && (i === 0 || m > members[i - 1]!));
  if (members.length > 0 && ascending) return members;
  throw new MergeError(
    'E_OPTION',
    `the members of ${path} must be ascending indices of the ${inputs} inputs, not [${members.join(', ')}]`,
    {
      details: { file: path },
    },
  );
}

async function placed(given: PlanInput, open: (path: string) => Promise<Checkpoint>): Promise<PlacedInput> {
  const checkpoint = await open(given.path);
  const named = placeOfCheckpoint(checkpoint.path)?.position;
  const own = await placeOfMerge(checkpoint);
  const { step = own.step, tokens = own.tokens, stage = named?.stage ?? null, epoch } = given;
  return { checkpoint, step, tokens, stage, ingredient: named?.ingredient ?? null, ...(epoch !== undefined && { epoch }) };
}
