import type { PolicyRequest, RouterUse } from '../../recipe/policy/types.ts';
import type { ScheduleMember } from '../../recipe/schedule/types.ts';
import type { RecipeOutput } from '../../recipe/types.ts';
import type { Axis, Point } from '../gaussian-process/cube.ts';

export type ParamValue = number | string;
/** What a trial tried, by the names of the space's parameters. */
export type Params = Readonly<Record<string, ParamValue>>;

/**
 * What reports know of a parameter. Several axes may belong to one search parameter of the user (weights):
 * each then is a parameter here.
 */
export interface SpaceParameter {
  readonly name: string;
  readonly kind: 'real' | 'integer' | 'choice';
  /** Bounds of a number. */
  readonly low?: number;
  readonly high?: number;
  readonly log?: boolean;
  /** Values of a choice. */
  readonly values?: readonly ParamValue[];
}

/** Weights over all members of the pool, oldest first; those of 0 take no part. */
export interface Candidate {
  readonly weights: readonly number[];
  /** Tensors that have weights of their own: routers against the rest. */
  readonly parts: readonly CandidatePart[];
  /** Whose routers it has, where that is what is varied: every member then takes part. */
  readonly router?: RouterUse;
  /** Its members, ascending, those of weight 0 among them: a window. Those that have a weight when absent. */
  readonly of?: readonly number[];
  /** What it has otherwise than all merges of its study: none of these is given twice. */
  readonly treatment?: PolicyRequest & Pick<RecipeOutput, 'dtype'>;
}

export interface CandidatePart {
  /** Role or group of roles, as in policies. */
  readonly role: string;
  /** Over all members of the pool. */
  readonly weights: readonly number[];
}

/** What a search searches: points of a unit cube, each a recipe over the members of the pool. */
export interface Space {
  readonly name: 'pairwise' | 'pairwise-chain' | 'schedule' | 'weights';
  readonly members: readonly ScheduleMember[];
  /** Roles, or groups of them, with weights of their own. */
  readonly roles: readonly string[];
  /** One an axis, in the order of a point's coordinates. */
  readonly parameters: readonly SpaceParameter[];
  readonly axes: readonly Axis[];
  /** Points that are tried first, in order; more may follow from the sampler. */
  readonly initial: readonly Point[];
  /** @param point coordinates in [0, 1], rounded here where an axis has levels */
  decode(point: Point): Params;
  /**
   * @returns null where the parameters lie outside the space. @throws MergeError E_PARAMS naming what is
   *   unknown or missing
   */
  encode(params: Params): Point | null;
  /** @throws MergeError where a schedule cannot be made of these members */
  candidate(params: Params): Promise<Candidate>;
  /**
   * Parameters that give these weights, so that a baseline can inform the model: null where the space has
   * none, or none that a formula finds (of a schedule only means of the newest members).
   */
  locate(candidate: Candidate): Promise<Params | null>;
}
