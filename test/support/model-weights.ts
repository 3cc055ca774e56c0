import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The weights that a merge of a `weightedRun` is made with: its checkpoints hold unit vectors. */
export function weightsIn(model: string): number[] {
  const bytes = readFileSync(statSync(model).isDirectory() ? join(model, 'model.safetensors') : model);
  const header = 8 + Number(bytes.readBigUInt64LE(0));
  const { data_offsets: offsets } = JSON.parse(bytes.subarray(8, header).toString('utf8'))['model.norm.weight'];
  const data = bytes.subarray(header + offsets[0], header + offsets[1]);
  return Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i));
}
