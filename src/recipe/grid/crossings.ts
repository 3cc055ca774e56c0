import { aboutQuantity, parseQuantity } from '../../checkpoints/run/quantity.ts';
import type { QuantityText, Run } from '../../checkpoints/run/types.ts';
import { learningRatePhase } from '../select/phase.ts';
import { placeText } from '../select/shortlist.ts';
import type { KnownSave } from './types.ts';

/** Share by which tokens a step may differ between saves and still be called the same batch. */
const SAME_BATCH = 0.01;

/**
 * Changes of the training that lie between the oldest and the newest of these members, a sentence each: places
 * that were named, a learning rate that is not constant by the log, another number of tokens a step. Of a change
 * right at the oldest member all updates between the members are from after it.
 */
export function crossings(run: Run, members: readonly KnownSave[], starts: readonly QuantityText[]): string[] {
  const [oldest, newest] = [members[0]!, members.at(-1)!];
  if (oldest === newest) return [];
  const named = starts.flatMap((start) => {
    const { value, unit } = parseQuantity(start, 'stageStarts');
    const [from, to] = [oldest, newest].map((save) => (unit === 'steps' ? save.step : save.tokens));
    if (from === null || from === undefined || to === null || to === undefined) return [];
    return from < value && value < to ? [`crosses the stage that starts at ${placeText({ value, unit })}`] : [];
  });
  return [...named, ...rateChange(run, oldest, newest), ...batchChange(members)];
}

/** The log of a run is that of its newest stage, which a grid of one stage is of. */
function rateChange({ log }: Run, oldest: KnownSave, newest: KnownSave): string[] {
  const { kind, highest, text } = learningRatePhase(log, oldest.step, newest.step);
  return kind === 'constant' || highest === null ? [] : [`${text.replace(/ \(.*$/, '')} over it`];
}

/** Tokens in names are rounded: nothing follows from their differences. */
function batchChange(members: readonly KnownSave[]): string[] {
  const exact = members.filter(({ tokens, checkpoint }) => tokens !== null && checkpoint !== null && checkpoint.tokensFrom !== 'name');
  const batches = exact.slice(1).map(({ step, tokens }, i) => (tokens! - exact[i]!.tokens!) / (step - exact[i]!.step));
  const change = batches.findIndex((batch, i) => i > 0 && Math.abs(batch - batches[i - 1]!) > SAME_BATCH * batches[i - 1]!);
  if (change < 1) return [];
  const [before, after] = [batches[change - 1]!, batches[change]!].map((value) =>
    aboutQuantity({ value: Math.round(value), unit: 'tokens' }),
  );
  return [`the batch changes from ${before} a step to ${after} after step ${exact[change]!.step}`];
}
