import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DtypeName, dtypeByName } from '../../src/base/dtype.ts';
import { encodeHeader } from '../../src/checkpoints/containers/safetensors/encode-header.ts';

/**
 * A checkpoint of any size whose data is a hole: only its headers and config.json take space. Shapes by
 * tensor name, all of one dtype.
 */
export function writeSparse(
  folder: string,
  shapes: Readonly<Record<string, readonly number[]>>,
  config: unknown,
  dtype: DtypeName = 'BF16',
): string {
  mkdirSync(folder, { recursive: true });
  const header = encodeHeader(
    Object.entries(shapes).map(([name, shape]) => ({ name, dtype, shape })),
    { format: 'pt' },
  );
  const elements = Object.values(shapes).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const file = join(folder, 'model.safetensors');
  writeFileSync(file, header);
  truncateSync(file, header.length + (elements * dtypeByName(dtype)!.bits) / 8);
  if (config !== null) writeFileSync(join(folder, 'config.json'), typeof config === 'string' ? config : JSON.stringify(config));
  return folder;
}
