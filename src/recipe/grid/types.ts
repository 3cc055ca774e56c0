import type { QuantityText, RunCheckpoint } from '../../checkpoints/run/types.ts';
import type { Policy } from '../policy/types.ts';
import type { ParameterName } from '../schedule/parameters.ts';
import type { ParameterValue, ResolvedWeights, WeightRequest } from '../schedule/types.ts';
import type { LeftOutMember, MemberScores, ScoredSelection } from '../select/types.ts';
import type { Recipe, RecipeOutput } from '../types.ts';

/** One value, or several, of which each is tried with those of all other axes. */
export type OneOrMore<T> = T | readonly T[];

/** What of an output may be an axis beside its schedule, as a recipe's output has it. */
export type TreatmentAxis = 'dtype' | 'router' | 'for' | 'optimizer' | 'extraState' | 'weightsFrom' | 'weightsFile';

/** Parameters of schedules that may be axes: the controls are an axis of their own. */
type ScheduleAxis = Exclude<ParameterName, 'reverse' | 'scramble'>;

type Axes<T, Name extends keyof T> = { readonly [Key in Name]?: OneOrMore<NonNullable<T[Key]>> | undefined };

/**
 * Many merges of one run: every combination of windows, schedules, strides and controls, at every endpoint.
 * Names in a file have dashes (`stage-starts`); amounts are text as in recipes.
 */
export interface Grid
  extends Omit<Recipe, 'inputs' | 'outputs'>,
    Axes<WeightRequest, 'method' | ScheduleAxis>,
    Axes<RecipeOutput, TreatmentAxis> {
  /** Folder of the run. */
  readonly run: string;
  /**
   * How far back from its endpoint a merge reaches, as `125B`, `5000steps`, `10ckpt`: members lie in the
   * half-open interval (endpoint − window, endpoint].
   */
  readonly windows: OneOrMore<QuantityText>;
  /**
   * Where merges end: `newest`; `every:250B`, the newest save at or before each multiple, and the newest;
   * `all` saves; or the place of a save, as `12000` or `500B`. `newest` when absent.
   */
  readonly endpoints?: OneOrMore<QuantityText> | undefined;
  /** Every so many saves of a window, counted back from its end; 1 when absent. */
  readonly strides?: OneOrMore<number> | undefined;
  /** Which saves of a window: `all`, or the best so many by their scores, `top:8`; all when absent. */
  readonly members?: OneOrMore<string> | undefined;
  /** Scores by step, for `top:K`: CSV or JSON, or a folder with results of lm-eval or lighteval for each step. */
  readonly memberScores?: string | undefined;
  /** Which of several scores, as `task/metric,filter`, with a weight behind `=`. */
  readonly memberMetrics?: string | readonly string[] | undefined;
  /** Which of these scores are better; as the results say when absent. */
  readonly memberGoal?: ScoredSelection['goal'];
  /** Beside each merge the same with its weights in another order: `reverse`, `scramble-seeds:1-3`. */
  readonly controls?: OneOrMore<string> | undefined;
  /** Sets of policies by name; the name becomes part of the output's. */
  readonly policies?: Readonly<Record<string, readonly Policy[]>> | undefined;
  /** Only this stage of a training in several. */
  readonly stage?: number | undefined;
  /** Places at which data, batch or learning rate change, as `3T`: windows that cross one are flagged. */
  readonly stageStarts?: OneOrMore<QuantityText> | undefined;
}

/** A save of a run, as far as a grid goes by it. */
export interface KnownSave {
  readonly name: string;
  readonly step: number;
  readonly tokens: number | null;
  /** `gone`: an output records it as a member, and the run has it no more; `broken`: it cannot be used. */
  readonly state: 'here' | 'gone' | 'broken';
  /** Where it is here. */
  readonly checkpoint: RunCheckpoint | null;
  /** Why it is broken. */
  readonly reason: string | null;
}

/** One value of each axis, as a document names them; an axis that is not in use is absent. */
export type ArmAxes = Readonly<Record<string, ParameterValue>>;

/** A combination of values of the axes. */
export interface Combination {
  readonly name: string;
  readonly axes: ArmAxes;
  readonly schedule: ResolvedWeights;
  /** What a recipe's output has of it, but for path and members. */
  readonly treatment: Omit<RecipeOutput, 'path' | 'select'>;
}

/** One merge of a grid: the first combination that it is made of. Its name is that of its folder. */
export interface GridArm extends Combination {
  /** Combinations whose members are the same and have the same weights: this one, then others. */
  readonly same: readonly Combination[];
  /** Oldest first. */
  readonly members: readonly KnownSave[];
  /** The scores that its members were chosen by, and where they are from; null where they were not. */
  readonly chosenBy: Pick<MemberScores, 'source' | 'what'> | null;
  /** Changes of the training that its window crosses, in words. */
  readonly flags: readonly string[];
  /** Saves that would be members and cannot be used. */
  readonly leftOut: readonly LeftOutMember[];
}

/** A combination that no merge is made of. */
export interface LeftArm {
  readonly name: string;
  readonly reason: string;
}

/** What a grid comes to over the saves of a run. */
export interface Arms {
  readonly arms: readonly GridArm[];
  /** Combinations of a window and an endpoint without a merge, and why. */
  readonly left: readonly LeftArm[];
  /** Combinations of axes before equal ones were made one. */
  readonly combinations: number;
}
