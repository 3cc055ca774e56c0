import { MergeError } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { aboutQuantity, parseQuantity } from '../../checkpoints/run/quantity.ts';
import type { QuantityText, Run, RunCheckpoint } from '../../checkpoints/run/types.ts';
import { stagesOf } from './conditions.ts';
import type { Shortlist } from './shortlist.ts';
import { saveInterval } from './spacing.ts';
import { findSpike, SPIKE_BASELINE } from './spike.ts';
import type { Spike } from './types.ts';

/** What the PMA paper (arXiv 2505.12082, section 4.5) showed, and what it left open. */
const PAPER =
  'the PMA paper resumed one training (a 330M/3.3B mixture of experts) from the mean of the three checkpoints before its loss went up, and it recovered; ' +
  'whether the newest of them alone would have done, and what becomes of the optimizer state, it leaves open';

/**
 * Only checkpoints saved before a loss spike, by at least a margin: one save interval (the median between the
 * run's checkpoints) unless another is given.
 *
 * @param where the step of the spike, or `auto` for the one in the run's log
 * @throws MergeError E_NO_SPIKE where the log has none, E_NO_MEMBERS where nothing was saved so early,
 *   E_OPTION where several stages are left, E_NO_POSITION, E_NO_TOKENS
 */
export function keepBeforeSpike(shortlist: Shortlist, where: 'auto' | number, marginText: QuantityText | undefined): Spike {
  const { run, left } = shortlist;
  if (stagesOf(left).length > 1) {
    throw new MergeError(
      'E_OPTION',
      `${run.path}: its stages count their steps anew, so ${optionName('beforeSpike')} needs ${optionName('stage')} as well`,
      {
        details: { file: run.path },
      },
    );
  }
  shortlist.dropUnplaced('steps', optionName('beforeSpike'));
  const spike = where === 'auto' ? spikeOf(run, left[0]!) : { step: where, loss: null, threshold: null };
  const margin = marginInSteps(shortlist, marginText, spike.step);
  const were = shortlist.left;
  shortlist.drop((checkpoint) => {
    const ahead = spike.step - checkpoint.step!;
    if (ahead <= 0) return ahead < 0 ? `after the loss spike at step ${spike.step}` : 'at the loss spike';
    return ahead < margin
      ? `less than ${aboutQuantity({ value: margin, unit: 'steps' })} before the loss spike at step ${spike.step}`
      : null;
  });
  const distance = aboutQuantity({ value: margin, unit: 'steps' });
  if (shortlist.left.length === 0) {
    throw shortlist.nothing(
      `was saved at least ${distance} before the loss spike at step ${spike.step}`,
      were,
      ({ step }) => step! - spike.step,
    );
  }
  const found =
    spike.loss === null ? 'as given' : `found in the log: ${short(spike.loss)}, over the threshold of ${short(spike.threshold!)}`;
  shortlist.notes.push(`loss spike at step ${spike.step}, ${found}; members are at least ${distance} older`, PAPER);
  return spike;
}

function spikeOf(run: Run, candidate: RunCheckpoint): Spike {
  const details = { file: run.path };
  if (!logCovers(run, candidate)) {
    throw new MergeError('E_NO_SPIKE', `${run.path}: the log is that of another stage than the one selected`, { details });
  }
  const spike = findSpike(run.log);
  if (spike !== null) return spike;
  const losses = run.log.filter(({ loss }) => loss !== null).length;
  const enough = losses > SPIKE_BASELINE ? '' : `, and one is measured against the ${SPIKE_BASELINE} before it`;
  throw new MergeError('E_NO_SPIKE', `${run.path}: no loss spike among the ${losses} losses in the log${enough}`, { details });
}

/**
 * Whether the log of a run is about a checkpoint: stages and ingredients have logs of their own, and a run's
 * is that of its newest checkpoint.
 */
export function logCovers({ checkpoints }: Run, { stage, ingredient }: RunCheckpoint): boolean {
  const newest = checkpoints.at(-1);
  return newest !== undefined && newest.stage === stage && newest.ingredient === ingredient;
}

function marginInSteps({ run, left }: Shortlist, text: QuantityText | undefined, spikeStep: number): number {
  // All that were saved in this stage, also those that other conditions left out.
  const saved = run.checkpoints.filter(({ stage, ingredient }) => stage === left[0]!.stage && ingredient === left[0]!.ingredient);
  const interval = saveInterval(saved) ?? 0;
  if (text === undefined) return interval;
  const { value, unit } = parseQuantity(text, 'margin');
  if (unit !== 'tokens') return unit === 'steps' ? value : value * interval;
  const counted = saved.filter(({ step, tokens }) => step !== null && tokens !== null);
  const before = Math.max(
    1,
    counted.findLastIndex(({ step }) => step! <= spikeStep),
  );
  const [earlier, later] = [counted[before - 1], counted[before]];
  if (earlier === undefined || later === undefined) {
    throw new MergeError('E_NO_TOKENS', `${run.path}: a margin in tokens needs the token counts of two checkpoints at least`, {
      details: { file: run.path },
    });
  }
  const tokensPerStep = (later.tokens! - earlier.tokens!) / (later.step! - earlier.step!);
  return Math.ceil(value / tokensPerStep);
}

function short(loss: number): string {
  return String(Number(loss.toPrecision(4)));
}
