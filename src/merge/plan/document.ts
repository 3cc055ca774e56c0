import { basename } from 'node:path';
import type { Warning } from '../../base/errors.ts';
import type { Excluded } from '../../checkpoints/run/types.ts';
import { isCode } from '../../checkpoints/side-files.ts';
import type { OutsidePath } from '../../recipe/outside.ts';
import type { TreatmentRow } from '../../recipe/policy/table.ts';
import type { ParameterValue } from '../../recipe/schedule/types.ts';
import type { MemberReport, Phase, Spike } from '../../recipe/select/types.ts';
import type { OutputFormat } from '../../recipe/types.ts';
import { goingOn } from './going-on.ts';
import type { ComposedFile } from './outputs/container.ts';
import type { MergedMember, Plan, PlanMember, PlanOutput, Resumption } from './types.ts';

/** The JSON document of `plan` and `--dry-run`. */
export interface PlanDocument {
  readonly schema: 'ckpt-merge/plan';
  readonly version: 1;
  /** Container of the outputs. */
  readonly format: OutputFormat;
  readonly outputs: readonly (MemberReport & {
    readonly path: string;
    readonly kind: 'folder' | 'file';
    readonly method: string;
    readonly parameters: Readonly<Record<string, ParameterValue>>;
    readonly members: readonly MergedMember[];
    readonly weightSum: number;
    readonly excluded: readonly Excluded[];
    /** The learning rate over the members; null where they were named one by one. */
    readonly phase: Phase | null;
    /** The loss spike that the members lie before; null where none was asked for. */
    readonly spike: Spike | null;
    /** Findings of selection and schedule, and what could be done for its files beforehand, a line each. */
    readonly notes: readonly string[];
    readonly files: readonly { readonly name: string; readonly bytes: number }[];
    /**
     * What lies beside the tensors: copied from the newest member, or `made` for the output; `code` is custom
     * code (`*.py`).
     */
    readonly sideFiles: readonly { readonly name: string; readonly bytes: number; readonly code: boolean; readonly made?: true }[];
    /**
     * What stays behind of it, and why; `leadsTo` where it is a link that leads outside, else null;
     * `outdated` where it would be copied, were the weights in the form of the newest member.
     */
    readonly left: readonly {
      readonly name: string;
      readonly reason: string;
      readonly leadsTo: string | null;
      readonly outdated?: true;
    }[];
    readonly purpose: PlanOutput['purpose'];
    /** How a trainer starts from it, where it is made for that; else null. */
    readonly next: string | null;
    readonly bytesWritten: number;
    readonly tensors: number;
    readonly dtypeChanges: readonly string[];
    /** What is done with the tensors of each role. */
    readonly treatments: readonly TreatmentRow[];
    readonly digest: string;
  })[];
  /** Outputs that are there already as this plan makes them; none unless resuming. */
  readonly finished: readonly string[];
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** An estimate from a measurement of the disk (`measureDisk`); null where there was none. */
  readonly expectedSeconds: number | null;
  readonly peakMemoryBytes: number;
  readonly freeBytesNeeded: number;
  readonly freeBytesAvailable: number;
  /** Nobody has said where outputs are to be: paths are names, and of free space nothing follows. */
  readonly unplaced: boolean;
  readonly warnings: readonly Warning[];
  /** What `resume` would do with each output; null where it was not asked for. */
  readonly resume: readonly Resumption[] | null;
  /** What a recipe file names outside the folder that it lies in. */
  readonly outside: readonly OutsidePath[];
}

/**
 * What a plan says, for people and scripts: everything but the columns of each tensor.
 * @param expectedSeconds from `expectedSeconds`, where the disk was measured
 * @param resume from `resumptions`, where the plan is to be carried out so
 */
export function planDocument(plan: Plan, expectedSeconds: number | null = null, resume: readonly Resumption[] | null = null): PlanDocument {
  return {
    schema: 'ckpt-merge/plan',
    version: 1,
    format: plan.format,
    outputs: plan.outputs.map((output) => ({
      path: output.path,
      kind: output.kind,
      method: output.schedule.method,
      parameters: { ...output.schedule.parameters },
      members: mergedMembers(plan, output),
      ...output.report,
      weightSum: output.schedule.sum,
      excluded: output.selection?.excluded ?? [],
      phase: output.selection?.phase ?? null,
      spike: output.selection?.spike ?? null,
      notes: [...(output.selection?.notes ?? []), ...output.schedule.notes, ...(output.hint === undefined ? [] : [output.hint])],
      files: output.files.map(({ name, bytes }) => ({ name, bytes })),
      purpose: output.purpose,
      next: goingOn(plan, output),
      sideFiles: [
        ...output.composed.map((file) => ({
          name: file.name,
          bytes: file.bytes,
          code: false,
          ...(!isCopy(file) && { made: true as const }),
        })),
        ...output.sideFiles.map((file) => ({ name: file.name, bytes: file.size, code: isCode(file) })),
      ],
      left: output.left
        .filter(({ name }) => !output.composed.some((file) => file.name === name))
        .map(({ name, reason, leadsTo = null, outdated }) => ({ name, reason, leadsTo, ...(outdated && { outdated }) })),
      bytesWritten: output.bytes,
      tensors: plan.tensors,
      dtypeChanges: output.dtypeChanges,
      treatments: output.treatments,
      digest: output.digest,
    })),
    finished: plan.finished,
    bytesRead: plan.bytesRead,
    bytesWritten: plan.bytesWritten,
    expectedSeconds,
    peakMemoryBytes: plan.peakMemoryBytes,
    freeBytesNeeded: plan.freeBytesNeeded,
    freeBytesAvailable: plan.freeBytesAvailable,
    unplaced: plan.unplaced ?? false,
    warnings: plan.warnings,
    resume,
    outside: plan.outside ?? [],
  };
}

/** Whether a file has the bytes of one that is there, under its name. */
function isCopy({ name, parts }: ComposedFile): boolean {
  const [part] = parts;
  return parts.length === 1 && part !== undefined && 'path' in part && part.offset === 0 && basename(part.path) === basename(name);
}

/** The members of one output, oldest first. */
export function membersOf(plan: Pick<Plan, 'members'>, output: Pick<PlanOutput, 'members'>): PlanMember[] {
  return output.members.map((m) => plan.members[m]!);
}

/** The members of one output with their effective weights, as documents name them. */
export function mergedMembers(plan: Pick<Plan, 'members'>, output: Pick<PlanOutput, 'members' | 'schedule' | 'selection'>): MergedMember[] {
  const scores = output.selection?.scores;
  return membersOf(plan, output).map(({ path, epoch, step, tokens }, i) => ({
    ...{ path, step, tokens, ...(epoch !== undefined && { epoch }) },
    weight: output.schedule.weights[i]!,
    ...(scores?.[i] !== undefined && { score: scores[i] }),
  }));
}
