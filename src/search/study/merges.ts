import { join } from 'node:path';
import { removeTree } from '../../base/disk/remove-tree.ts';
import { SYSTEM } from '../../base/disk/system.ts';
import { MergeError, type Warning } from '../../base/errors.ts';
import { drain } from '../../base/event-stream.ts';
import { isSampled } from '../../checkpoints/fingerprint.ts';
import { executePlan } from '../../merge/engine/execute.ts';
import { launchPlan } from '../../merge/launch/launch-plan.ts';
import { buildPlan } from '../../merge/plan/build.ts';
import type { FoundMembers, OutputRequest, Plan, PlanRequest } from '../../merge/plan/types.ts';
import type { MachineOptions } from '../../merge/run.ts';
import type { CHECKS, LAUNCH, MACHINE, TRUST } from '../../recipe/options.ts';
import type { Policy, PolicyRequest } from '../../recipe/policy/types.ts';
import type { Recipe, RecipeOutput } from '../../recipe/types.ts';
import type { Candidate } from '../space/types.ts';
import type { StudyMember } from './members.ts';

/** What all merges of a study have in common. */
export interface MergeSettings
  extends PolicyRequest,
    Pick<Recipe, 'like' | 'names' | 'config' | 'shardSize' | keyof typeof CHECKS | 'baseModelId'>,
    Pick<RecipeOutput, 'dtype'>,
    Pick<MachineOptions, keyof typeof MACHINE | keyof typeof TRUST | keyof typeof LAUNCH> {}

/** A merge that is to be made. */
export interface MergeRequest {
  readonly path: string;
  readonly taking: TakingPart;
  /** Of the pool that it was found in, for a merge that stays. */
  readonly report?: FoundMembers | undefined;
}

/** Makes merges of a study, any number of them in one read. */
export class Merger {
  readonly #members: readonly StudyMember[];
  readonly #settings: MergeSettings;
  readonly #hidden = new Set<string>();
  #merges = 0;
  #reads = 0;
  #seconds = 0;

  constructor(members: readonly StudyMember[], settings: MergeSettings) {
    this.#members = members;
    this.#settings = settings;
  }

  get merges(): number {
    return this.#merges;
  }

  /** Where links lead that are left out of merges: nothing is told of it in files. */
  get hidden(): ReadonlySet<string> {
    return this.#hidden;
  }

  get reads(): number {
    return this.#reads;
  }

  get seconds(): number {
    return this.#seconds;
  }

  /**
   * What a merge would be: finds every conflict between the members, and reads no data. @throws MergeError as
   * `buildPlan` does
   */
  async plan(
    requests: readonly MergeRequest[],
    { force = false, signal }: { force?: boolean; signal?: AbortSignal | undefined } = {},
  ): Promise<Plan> {
    const plan = await buildPlan({ ...this.#request(requests), force }, signal);
    for (const { left } of plan.outputs) for (const { leadsTo } of left) if (leadsTo !== undefined) this.#hidden.add(leadsTo);
    const known = new Map(this.#members.map(({ path, fingerprint, copy }) => [path, copy ?? fingerprint]));
    for (const changed of plan.members) {
      if (await isSampled(changed.checkpoint, known.get(changed.path), changed.fingerprint)) continue;
      throw new MergeError('E_INPUT_CHANGED', `${changed.path}: the checkpoint changed since the search began`, {
        details: { file: changed.path },
        help: 'Scores of the old and the new content cannot be compared: put the old one back and go on with --resume, or start anew.',
      });
    }
    return plan;
  }

  /**
   * Makes merges in one read. @returns seconds, and what there was to say; what was begun is removed on a
   * failure
   */
  async make(
    requests: readonly MergeRequest[],
    { force, signal }: { force?: boolean; signal?: AbortSignal | undefined } = {},
  ): Promise<{ seconds: number; warnings: readonly Warning[] }> {
    const start = performance.now();
    try {
      const plan = await this.plan(requests, { ...(force === undefined ? {} : { force }), signal });
      const options = { ...this.#settings, ...(force === undefined ? {} : { force }), keep: false, signal };
      const { launcher } = options;
      const events = launcher === undefined ? executePlan(plan, options) : launchPlan(plan, this.#request(requests), launcher, options);
      const result = await drain(events, undefined);
      const seconds = (performance.now() - start) / 1000;
      this.#merges += requests.length;
      this.#reads += 1;
      this.#seconds += seconds;
      return { seconds, warnings: result.warnings };
    } catch (error) {
      if (!force) await Promise.all(requests.map(({ path }) => removeTree(SYSTEM, path)));
      throw error;
    }
  }

  #request(requests: readonly MergeRequest[]): PlanRequest {
    const { policies, router: usual, dtype, memory, threads, io, cache, failNonfinite, strict, launcher, ...options } = this.#settings;
    const outputs = requests.map(({ path, taking: { members, weights, parts, router = usual, treatment }, report }): OutputRequest => {
      const own = parts.map(({ role, weights }): Policy => ({ role, weights }));
      const all = { policies: [...own, ...(treatment?.policies ?? policies ?? [])], router: treatment?.router ?? router };
      return { path, members, weights, ...all, dtype: treatment?.dtype ?? dtype, baseModelId: options.baseModelId, report };
    });
    const inputs = this.#members.map(({ path, epoch, step, tokens }) => ({ path, epoch, step, tokens }));
    // Evaluators load safetensors, whatever trainer saved the members.
    return { ...options, inputs, ordered: true, outputs, memory, format: 'safetensors' };
  }
}

/** What of a candidate makes its merge: members that take part, and weights over these. */
export interface TakingPart extends Candidate {
  readonly members: readonly number[];
}

/** A candidate without the members that take no part. */
export function takingPart({ weights, parts, router, of, treatment }: Candidate): TakingPart {
  const takesPart = (m: number) => router !== undefined || weights[m] !== 0 || parts.some((part) => part.weights[m] !== 0);
  const members = of ?? weights.flatMap((_, m) => (takesPart(m) ? [m] : []));
  const pick = (all: readonly number[]) => members.map((m) => all[m]!);
  return {
    members,
    weights: pick(weights),
    parts: parts.map((part) => ({ role: part.role, weights: pick(part.weights) })),
    ...(router === undefined ? {} : { router }),
    ...(treatment === undefined ? {} : { treatment }),
  };
}

/**
 * Where a merge of trial `id` goes: a file where the members are files, so that evaluators get what they get
 * of a single checkpoint.
 */
export function mergePath(work: string, id: number, members: readonly StudyMember[], unique: string): string {
  const name = `trial-${String(id).padStart(4, '0')}-${unique}`;
  return join(work, members.every(({ checkpoint }) => checkpoint.kind === 'file') ? `${name}.safetensors` : name);
}
