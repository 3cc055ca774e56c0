import type { MergedMember } from '../engine/events.ts';
import type { Warning } from '../errors.ts';
import type { ParameterValue } from '../schedule/types.ts';
import type { Plan } from './types.ts';

/** The JSON document of `plan` and `--dry-run`. */
export interface PlanDocument {
  readonly schema: 'ckpt-merge/plan';
  readonly version: 1;
  readonly outputs: readonly {
    readonly path: string;
    readonly kind: 'folder' | 'file';
    readonly method: string;
    readonly parameters: Readonly<Record<string, ParameterValue>>;
    readonly members: readonly MergedMember[];
    readonly weightSum: number;
    readonly excluded: readonly { readonly path: string; readonly reason: string }[];
    readonly files: readonly { readonly name: string; readonly bytes: number }[];
    readonly bytesWritten: number;
    readonly tensors: number;
    readonly dtypeChanges: readonly string[];
    readonly digest: string;
  }[];
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly peakMemoryBytes: number;
  readonly freeBytesNeeded: number;
  readonly freeBytesAvailable: number;
  readonly warnings: readonly Warning[];
}

/** What a plan says, for people and scripts: everything but the columns of each tensor. */
export function planDocument(plan: Plan): PlanDocument {
  return {
    schema: 'ckpt-merge/plan',
    version: 1,
    outputs: plan.outputs.map((output) => ({
      path: output.path,
      kind: output.kind,
      method: output.schedule.method,
      parameters: { ...output.schedule.parameters },
      members: plan.members.map((m, i) => ({ path: m.path, step: m.step, tokens: m.tokens, weight: output.schedule.weights[i]! })),
      weightSum: output.schedule.sum,
      excluded: [],
      files: output.files.map(({ name, bytes }) => ({ name, bytes })),
      bytesWritten: output.bytes,
      tensors: plan.tensors,
      dtypeChanges: output.dtypeChanges,
      digest: output.digest,
    })),
    bytesRead: plan.bytesRead,
    bytesWritten: plan.bytesWritten,
    peakMemoryBytes: plan.peakMemoryBytes,
    freeBytesNeeded: plan.freeBytesNeeded,
    freeBytesAvailable: plan.freeBytesAvailable,
    warnings: plan.warnings,
  };
}
