/** ckpt-merge: merge the checkpoints of a pre-training run. */

export type { AverageOptions, RunOptions, WeightedInput } from './average.ts';
export { average, averageEvents, plan } from './average.ts';
export type { BenchOptions, BenchReport } from './bench/bench-machine.ts';
export { benchMachine } from './bench/bench-machine.ts';
export type { DoctorReport } from './doctor/examine.ts';
export { examine } from './doctor/examine.ts';
export type { DtypeName, FloatDtypeName } from './dtype.ts';
export type { MergedMember, MergedOutput, MergeEvent, MergeResult, ProgressEvent } from './engine/events.ts';
export type { Conflict, ErrorCode, ErrorDetails, Warning, WarningCode } from './errors.ts';
export { EXIT, MergeError } from './errors.ts';
export type { InspectedTensor, Inspection } from './inspect/inspect.ts';
export { inspect } from './inspect/inspect.ts';
export { expectedTime } from './machine/expected-time.ts';
export type { PlanDocument } from './plan/document.ts';
export { planDocument } from './plan/document.ts';
export type { Plan, PlanMember, PlanOutput } from './plan/types.ts';
export type { ScheduleName } from './schedule/registry.ts';
export type { VerifyOptions, VerifyReport } from './verify/verify.ts';
export { verify } from './verify/verify.ts';
export { version } from './version.ts';
