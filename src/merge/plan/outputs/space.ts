import type { Conflict } from '../../../base/errors.ts';
import type { PlanOutput } from '../types.ts';
import { freeSpace } from './output-path.ts';

/** Provenance, merge card, recipe and journal of an output, generously. */
const RECORD_BYTES = 1e6;

export interface SpaceNeeded {
  readonly needed: number;
  readonly available: number;
  readonly conflict?: Conflict;
}

/** Space is counted for each file system on its own; the tightest is reported. */
export async function spaceNeeded(outputs: readonly PlanOutput[]): Promise<SpaceNeeded> {
  const byDevice = new Map<number, { needed: number; available: number; path: string }>();
  for (const output of outputs) {
    const { device, available, held } = await freeSpace(output.path);
    const entry = byDevice.get(device) ?? { needed: 0, available, path: output.path };
    entry.needed += output.bytes + RECORD_BYTES;
    entry.available += held;
    byDevice.set(device, entry);
  }
  const tightest = [...byDevice.values()].sort((a, b) => a.available - a.needed - (b.available - b.needed))[0]!;
  const { needed, available, path } = tightest;
  if (needed <= available) return { needed, available };
  const message = `${path} needs ${needed} bytes and its file system has ${available} free`;
  return { needed, available, conflict: { code: 'E_NO_SPACE', message, file: path } };
}
