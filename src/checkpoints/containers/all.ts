import { FOREIGN } from './foreign.ts';
import { safetensors } from './safetensors/container.ts';
import type { Container, Found } from './types.ts';

/** Asked in turn: the first that recognises a checkpoint opens it, or says what to do instead. */
const CONTAINERS: readonly Container[] = [safetensors, ...FOREIGN];

/** The container of a checkpoint; undefined where none knows it. */
export async function containerOf(found: Found): Promise<Container | undefined> {
  for (const container of CONTAINERS) if (await container.recognise(found)) return container;
  return undefined;
}
