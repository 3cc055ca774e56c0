import { createRequire } from 'node:module';
import os from 'node:os';
import { resolve } from 'node:path';
import { availableMemory, memoryLimits } from '../../base/machine/memory.ts';
import { runtimeName } from '../../base/machine/runtime.ts';
import { cpuLimits, defaultThreads } from '../../base/machine/threads.ts';
import { worded } from '../../base/option-words.ts';
import type { NativeBinding } from '../../merge/native/binding.ts';
import { loadBinding } from '../../merge/native/load.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { checkPublishing, checkSpace, checkWriting } from './file-system.ts';
import { checkLimits } from './limits.ts';
import { checkSharedMemory, checkShell, checkTemporary, checkUser } from './surroundings.ts';
import { checkUnfinished } from './unfinished.ts';

/** The JSON document of `doctor`. */
export interface DoctorReport {
  readonly schema: 'ckpt-merge/doctor';
  readonly version: 1;
  /** No check failed. */
  readonly ok: boolean;
  readonly checks: readonly Check[];
}

const OLDEST_NODE = [20, 19] as const;
/** What a merge needs by default: 256 MiB of buffers and 150 MB beside them. */
const COMFORTABLE_MEMORY = 500e6;

/**
 * Looks at everything on this machine that a merge depends on. Writes only into hidden folders that it
 * removes again, in `folder`, in the system's temp folder and in its shared memory. Never throws: what cannot
 * be looked at is a failed check.
 * @param options `folder`: where merges will be written; `version`: of this package
 */
export async function doctor(options: { readonly folder: string; readonly version: string }): Promise<DoctorReport> {
  const folder = resolve(options.folder);
  const { binding, checks: native } = checkNative();
  const checks = [
    ok('package', `ckpt-merge ${options.version}, ${process.platform}-${process.arch}, ${os.release()}`),
    checkNode(process.versions.node),
    ...native,
    checkCpus(),
    checkMemory(),
    ...checkLimits(),
    checkUser(),
    await checkShell(),
    await checkTemporary(),
    await checkSharedMemory(),
    await checkSpace(folder, binding),
    ...(binding === null ? [await checkWriting(folder)] : await checkPublishing(folder, binding)),
    ...(await checkUnfinished(folder)),
  ];
  return { schema: 'ckpt-merge/doctor', version: 1, ok: checks.every((check) => check.status !== 'fail'), checks };
}

function checkNode(version: string): Check {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [oldMajor, oldMinor] = OLDEST_NODE;
  const recent = major > oldMajor || (major === oldMajor && minor >= oldMinor);
  return recent ? ok('node', runtimeName()) : fail('node', `${version} is too old`, `Install Node.js ${OLDEST_NODE.join('.')} or newer.`);
}

function checkNative(): { readonly binding: NativeBinding | null; readonly checks: Check[] } {
  try {
    const binding = loadBinding();
    const checks = [ok('native addon', pathOf(binding))];
    const { active, available, compiled } = binding.cpuInfo();
    const found = `${active} (this CPU: ${available.join(', ')}; in the binary: ${compiled.join(', ')})`;
    const best = available.at(-1);
    const forced =
      active !== best ? warn('instructions', found, `CKPT_MERGE_ISA holds it down; unset it to use ${best}.`) : ok('instructions', found);
    checks.push(
      active === 'scalar' && best === 'scalar'
        ? warn('instructions', found, 'Merges will be several times slower than with SIMD.')
        : forced,
    );
    return { binding, checks };
  } catch (error) {
    const { message, help } = error as { message: string; help?: string };
    return { binding: null, checks: [fail('native addon', message, help ?? 'Run `npm ci` again, or set CKPT_MERGE_ISA right.')] };
  }
}

/** The file that an addon was loaded from: Node keeps it with what it exports. */
function pathOf(binding: NativeBinding): string {
  const { cache } = createRequire(import.meta.url);
  return Object.values(cache).find((module) => module?.exports === binding)?.filename ?? 'loaded';
}

function checkCpus(): Check {
  const { affinity, cgroupQuota, slurm } = cpuLimits();
  const quota = cgroupQuota === null ? 'no cgroup quota' : `cgroup quota ${Number(cgroupQuota.toFixed(2))}`;
  const task = slurm === null ? '' : `, SLURM_CPUS_PER_TASK ${slurm}`;
  return ok('threads', `${defaultThreads()} by default (${affinity} of ${os.cpus().length} CPUs allowed, ${quota}${task})`);
}

function checkMemory(): Check {
  const available = availableMemory();
  const { cgroup } = memoryLimits();
  const found = `${(available / 1e9).toPrecision(3)} GB available${cgroup === null ? '' : ' (cgroup limit counted)'}`;
  if (available >= COMFORTABLE_MEMORY) return ok('memory', found);
  return warn('memory', found, worded`A merge takes about 0.42 GB by default; --memory 64MiB and fewer --threads lower that.`);
}
