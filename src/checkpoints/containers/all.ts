import { dcp } from './dcp/container.ts';
import { FOREIGN } from './foreign.ts';
import { guarded } from './guarded.ts';
import { rankFiles } from './rank-files.ts';
import { safetensors } from './safetensors/container.ts';
import { rankShards } from './safetensors/rank-shards.ts';
import { torch } from './torch/container.ts';
import { fsdpRanks } from './torch/fsdp-ranks.ts';
import type { Container, Found } from './types.ts';

/** Asked in turn: the first that recognises a checkpoint opens it. */
const CONTAINERS: readonly Container[] = [
  safetensors,
  rankShards,
  guarded(dcp, 'E_DCP'),
  guarded(torch, 'E_TORCH_FILE'),
  guarded(fsdpRanks, 'E_TORCH_FILE'),
];

/** The container of a checkpoint that can be read; undefined where none knows it. */
export function containerOf(found: Found): Promise<Container | undefined> {
  return firstOf(CONTAINERS, found);
}

/**
 * What a checkpoint is that cannot be read: opening it says what to do instead. Undefined where that is not
 * known.
 */
export function foreignContainerOf(found: Found): Promise<Container | undefined> {
  return firstOf([rankFiles, ...FOREIGN], found);
}

async function firstOf(containers: readonly Container[], found: Found): Promise<Container | undefined> {
  for (const container of containers) if (await container.recognise(found)) return container;
  return undefined;
}
