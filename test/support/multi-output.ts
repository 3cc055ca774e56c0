import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MergeEvent, MergeResult } from '../../src/merge/engine/events.ts';
import { type ExecuteOptions, executePlan } from '../../src/merge/engine/execute.ts';
import { buildPlan } from '../../src/merge/plan/build.ts';
import type { PlanRequest } from '../../src/merge/plan/types.ts';
import { type FixtureTensor, safetensorsBytes, writeCheckpoint } from './checkpoints.ts';

/** Plans and carries out; returns what it said. */
export async function merge(
  request: PlanRequest,
  options: ExecuteOptions & { readonly onEvent?: (event: MergeEvent) => void } = {},
): Promise<MergeResult> {
  const { onEvent, ...execute } = options;
  const { force, resume } = request;
  const events = executePlan(await buildPlan(request, execute.signal), { threads: 2, force, resume, ...execute });
  for (;;) {
    const { value, done } = await events.next();
    if (done) return value;
    onEvent?.(value);
  }
}

/**
 * Everything that a merge published, byte for byte, but for the times it took. A single file is its own
 * content.
 */
export function published(path: string): Record<string, string> {
  if (!existsSync(path)) return {};
  if (path.endsWith('.safetensors')) return { file: readFileSync(path, 'base64') };
  return Object.fromEntries(
    (readdirSync(path, { recursive: true }) as string[]).sort().map((name) => {
      const bytes = readFileSync(join(path, name));
      if (name !== 'merge_provenance.json') return [name, bytes.toString('base64')];
      const { timings, ...rest } = JSON.parse(bytes.toString());
      return [name, JSON.stringify(rest, null, 2)];
    }),
  );
}

/**
 * A run of checkpoints in two shards that differ in everything a merge takes from the newest of its members:
 * metadata of headers and index, a side file, card.
 */
export function writeRun(folder: string, tensors: readonly FixtureTensor[], count: number): string[] {
  const half = Math.ceil(tensors.length / 2);
  const shards = [tensors.slice(0, half), tensors.slice(half)];
  return Array.from({ length: count }, (_, i) => {
    const step = (i + 1) * 100;
    const sides = { 'generation_config.json': `{"at":${step}}`, 'README.md': `---\nlicense: mit\ntags: [s${step}]\n---\n` };
    const path = writeCheckpoint(join(folder, `checkpoint-${step}`), shards, i + 1, sides);
    for (const [s, shard] of shards.entries()) {
      const name = `model-0000${s + 1}-of-00002.safetensors`;
      writeFileSync(join(path, name), safetensorsBytes(shard, i + 1, { format: 'pt', of: `checkpoint ${step}` }));
    }
    const index = join(path, 'model.safetensors.index.json');
    const { metadata, weight_map } = JSON.parse(readFileSync(index, 'utf8'));
    writeFileSync(index, JSON.stringify({ metadata: { ...metadata, from: `checkpoint ${step}` }, weight_map }));
    return path;
  });
}
