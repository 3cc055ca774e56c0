import { basename } from 'node:path';
import { MergeError, type Warning } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { parseQuantity } from '../../checkpoints/run/quantity.ts';
import { DECAYS, decayNotes, decayWeights } from './decay.ts';
import { readDecayFactors } from './decay-files.ts';
import { PARAMETERS } from './parameters.ts';
import { measure, type Positions, positionsIn } from './positions.ts';
import type { DecayName, ScheduleContext, ScheduleMember, Weighing, WeightRequest } from './types.ts';

/**
 * Factors w_1 … w_k of a decay that begins at the oldest member: u_i = (T_i − T_0) / (T_k − T_0 + h) and w_i
 * = r + (1 − r)·f(u_i), h the distance from the newest member to the end of the decay. With h = (T_k − T_0)/k
 * and even spacing u_i = i/(k + 1), to the last bit where positions are integers. Source: WSM, arXiv
 * 2507.17634, theorem 3.1, for the weights; u_i = i/(k + 1) gives the weights of its figure 2, and is that of
 * Megatron-LM too.
 *
 * @param positions T_0 … T_k, rising
 * @param end position where the decay reaches its floor, at or after T_k; T_k + (T_k − T_0)/k when absent
 * @param floor r, in [0, 1)
 */
function decayFactors(decay: DecayName, positions: readonly number[], floor = 0, end?: number): number[] {
  const first = positions[0]!;
  const span = positions.at(-1)! - first;
  const length = end === undefined ? span + span / (positions.length - 1) : end - first;
  return positions.slice(1).map((t) => floor + (1 - floor) * DECAYS[decay]((t - first) / length));
}

export async function weighByWsm(members: readonly ScheduleMember[], request: WeightRequest, context: ScheduleContext): Promise<Weighing> {
  const warnings = phaseWarnings(context);
  if (request.decayFile !== undefined) {
    const weights = decayWeights(await readDecayFactors(request.decayFile, members.length - 1));
    const notes = decayNotes(members, weights, null);
    // The file's name without its folder: what is recorded holds no absolute path.
    return { weights, parameters: { decayFile: basename(request.decayFile) }, notes, warnings };
  }
  const asked = request.decay ?? PARAMETERS.decay.default;
  const decay = asked === 'minus-sqrt' ? '1-sqrt' : asked;
  const floor = request.decayFloor ?? PARAMETERS.decayFloor.default;
  const end = request.decayEnd === undefined ? undefined : parseQuantity(request.decayEnd, optionName('decayEnd'));
  const positions = end === undefined ? bestPositions(members, warnings) : positionsIn(end.unit, members, `a decay end in ${end.unit}`);
  const newest = positions.at.at(-1)!;
  if (end !== undefined && end.value < newest) {
    throw new MergeError('E_OPTION', `${optionName('decayEnd')} ${request.decayEnd} lies before the newest member, which is at ${newest}`, {
      help: 'Let the decay end at or after the newest member, or leave that member out.',
    });
  }
  const weights = decayWeights(decayFactors(decay, positions.at, floor, end?.value));
  const parameters = { decay, decayFloor: floor, ...(request.decayEnd === undefined ? {} : { decayEnd: request.decayEnd }) };
  return { weights, parameters, notes: decayNotes(members, weights, positions), warnings };
}

function bestPositions(members: readonly ScheduleMember[], warnings: Warning[]): Positions {
  const positions = measure(members);
  if (positions !== null) return positions;
  for (const unit of ['tokens', 'steps'] as const) {
    // All are known, so they do not rise: this throws.
    if (members.every((m) => (unit === 'tokens' ? m.tokens : m.step) !== null)) return positionsIn(unit, members, 'wsm');
  }
  const message = 'wsm goes by the members’ positions, and not every member has a step or tokens: they are taken as evenly spaced';
  warnings.push({ code: 'W_SPACING_ASSUMED', message });
  return positionsIn('checkpoints', members, 'wsm');
}

function phaseWarnings({ phase }: ScheduleContext): Warning[] {
  if (phase === undefined || phase.kind === 'constant' || phase.kind === 'unknown') return [];
  const message = `the learning rate is not constant over the members (${phase.text}): a wsm merge stands for its decay only at a constant rate; the method lr-curve goes by the rate really used`;
  return [{ code: 'W_LR_PHASE', message }];
}
