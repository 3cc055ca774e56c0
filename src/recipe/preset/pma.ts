import { MergeError } from '../../base/errors.ts';
import { optionName } from '../../base/option-words.ts';
import { formatQuantity } from '../../checkpoints/run/quantity.ts';
import type { Run } from '../../checkpoints/run/types.ts';
import { type ModelSize, modelSize } from '../../model/roles/model-size.ts';
import { SAFE_SHARE } from '../select/member-warnings.ts';
import { selectMembers } from '../select/select.ts';
import type { Selection } from '../select/types.ts';

/** Members of a merge: the paper's choice between cost and benefit (section 4.3). */
const MEMBERS = 10;

/**
 * Spacing V in tokens by parameters, as the paper reports it "in practice" (section 4.3 and appendix A): by
 * active parameters for mixtures of experts (0.7B/7B, 1.3B/13B, 10B/100B), by all parameters for dense
 * models.
 */
const SPACINGS = {
  moe: [
    [0.7e9, 4e9],
    [1.3e9, 8e9],
    [10e9, 80e9],
  ],
  dense: [
    [411e6, 2e9],
    [2e9, 5e9],
    [8e9, 15e9],
    [70e9, 40e9],
  ],
} as const satisfies Record<string, readonly (readonly [parameters: number, tokens: number])[]>;

/** Dense models that the paper merged with 6 members because no more existed. */
const SIX_MEMBERS_BELOW = 2e9;

export interface Preset {
  readonly selection: Selection;
  /** What was chosen and why, a line each. */
  readonly notes: readonly string[];
}

/**
 * The practice of the PMA paper (Model Merging in Pre-training of Large Language Models, arXiv 2505.12082)
 * for a run: the plain mean (`sma`) of N = 10 checkpoints, V tokens apart, V by the size of the model.
 * Between the sizes of the paper's table V is interpolated in logarithms of both; above it, the table's last
 * V is taken; below it, V = 0.4·T/(N − 1) of the T tokens seen, which is not the paper's but ours, and no
 * more than the table's first. Where checkpoints are saved less than twice in V tokens, V becomes one or two
 * save intervals.
 *
 * @param own what the user says of the selection: its conditions come first, and its `last` and `every` stand
 * @returns the whole selection, `own` included
 * @throws MergeError E_NO_TOKENS for a run whose newest checkpoint has no tokens, E_NO_CHECKPOINT for a run
 *   without any, E_OPTION for ways of choosing members that leave the preset nothing to choose; what
 *   `selectMembers` and opening the newest checkpoint throw
 */
export async function pmaPreset(run: Run, own: Selection = {}): Promise<Preset> {
  const other = (['steps', 'minInterval', 'eachIngredient', 'members'] as const).find((key) => own[key] !== undefined);
  if (other !== undefined) {
    throw new MergeError(
      'E_OPTION',
      `the preset pma chooses members by spacing and number, and so does ${optionName(other)}: leave one of them out`,
    );
  }
  const { last = MEMBERS, every, minMembers, ...conditions } = own;
  const limited = Object.values(conditions).some((value) => value !== undefined);
  const checkpoints = limited ? selectMembers([run], conditions).members : run.checkpoints;
  const newest = checkpoints.at(-1);
  if (newest === undefined) {
    throw new MergeError('E_NO_CHECKPOINT', `${run.path}: the run has no complete checkpoint`, { details: { file: run.path } });
  }
  const seen = newest.tokens;
  if (seen === null || seen === 0) {
    const message = `${newest.path}: the preset pma counts in tokens, and nothing says how many this checkpoint has seen`;
    throw new MergeError('E_NO_TOKENS', message, { details: { file: newest.path } });
  }
  const size = await modelSize(newest.path);
  const sameStage = checkpoints.filter((c) => c.stage === newest.stage && c.ingredient === newest.ingredient);
  const positions = sameStage.flatMap((c) => (c.tokens === null ? [] : [c.tokens]));
  const { spacing, members, notes } =
    every === undefined
      ? chooseSpacing(size, seen, saveInterval(positions), last)
      : { spacing: null, members: last, notes: [`preset pma: V = ${every}, as given`] };
  const stage = newest.stage !== null && run.checkpoints.some((c) => c.stage !== newest.stage) ? newest.stage : undefined;
  return {
    selection: {
      ...own,
      last: members,
      every: every ?? formatQuantity({ value: spacing!, unit: 'tokens' }),
      ...(stage !== undefined && { stage }),
    },
    notes: [...size.notes, ...notes],
  };
}

function chooseSpacing(
  size: ModelSize,
  seen: number,
  interval: number | null,
  wanted: number,
): { readonly spacing: number; readonly members: number; readonly notes: readonly string[] } {
  const [table, parameters] = size.experts === null ? [SPACINGS.dense, size.total] : [SPACINGS.moe, size.active ?? size.total];
  const kind =
    size.experts === null
      ? `dense model of ${about(parameters)} parameters`
      : `mixture of experts with ${about(parameters)} ${size.active === null ? 'parameters, counted as if all were active' : 'active parameters'}`;
  const [smallest, first] = table[0];
  const [largest, last] = table.at(-1)!;
  const notes: string[] = [];
  let members = wanted;
  let spacing: number;
  if (parameters < smallest) {
    const ours = Math.floor((SAFE_SHARE * seen) / Math.max(1, wanted - 1));
    spacing = Math.min(ours, first);
    notes.push(
      `preset pma: a ${kind} is smaller than any in the paper (${about(smallest)}); V = ${about(spacing)} tokens is ${
        ours <= first
          ? `${SAFE_SHARE}·T/(N − 1) of the T = ${about(seen)} tokens seen, our rule and not the paper's`
          : 'that of the smallest'
      }`,
    );
    if (interval !== null && spacing < 2 * interval) {
      // Our rule keeps the span below the safe share, so V goes down to whole save intervals and, where even
      // one is too many, N goes down.
      spacing = interval;
      members = Math.min(wanted, Math.max(2, 1 + Math.floor((SAFE_SHARE * seen) / interval)));
      const fewer = members < wanted ? `, and N = ${members} keeps their span near ${SAFE_SHARE}·T` : '';
      notes.push(`preset pma: checkpoints are saved ${about(interval)} tokens apart, so V is that${fewer}`);
    }
  } else {
    spacing = Math.min(last, Number(interpolate(table, parameters).toPrecision(2)));
    const clamped = parameters > largest ? `, the value of the paper's largest (${about(largest)}), which this one exceeds` : '';
    notes.push(`preset pma: V = ${about(spacing)} tokens for a ${kind}${clamped}`);
    if (interval !== null && spacing < 2 * interval) {
      spacing = interval * Math.max(1, Math.round(spacing / interval));
      notes.push(`preset pma: checkpoints are saved ${about(interval)} tokens apart, so V is taken as ${about(spacing)}`);
    }
  }
  if (size.experts === null && parameters <= SIX_MEMBERS_BELOW) {
    notes.push(`preset pma: N = ${members}; the paper's dense models of 411M and 2B had N = 6, as no more checkpoints existed`);
  }
  return { spacing, members, notes };
}

/** Piecewise linear in the logarithms of both columns; the outer pieces go on. */
function interpolate(table: readonly (readonly [number, number])[], parameters: number): number {
  const above = table.findIndex(([p], i) => i > 0 && parameters <= p);
  const right = above === -1 ? table.length - 1 : above;
  const [[p0, v0], [p1, v1]] = [table[right - 1]!, table[right]!];
  const share = Math.log(parameters / p0) / Math.log(p1 / p0);
  return v0 * (v1 / v0) ** share;
}

/**
 * Median distance in tokens between neighbours among the newest checkpoints: early ones are often closer.
 * Null with fewer than two.
 */
function saveInterval(positions: readonly number[]): number | null {
  const newest = positions.slice(-2 * MEMBERS);
  const gaps = newest
    .slice(1)
    .map((tokens, i) => tokens - newest[i]!)
    .filter((gap) => gap > 0);
  return gaps.length === 0 ? null : gaps.sort((a, b) => a - b)[gaps.length >> 1]!;
}

/** A count of tokens or parameters for sentences, to three digits: `8B`, `0.205M`. */
function about(count: number): string {
  const [scale, unit] = count >= 1e12 ? [1e12, 'T'] : count >= 1e9 ? [1e9, 'B'] : [1e6, 'M'];
  return `${Number((count / scale).toPrecision(3))}${unit}`;
}
