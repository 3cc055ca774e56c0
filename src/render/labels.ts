import { basename } from 'node:path';
import { formatStep } from './format.ts';

/**
 * Short names of checkpoints for axes and headings: their steps where all have different ones, else their
 * folders' names, else their paths.
 */
export function checkpointLabels(checkpoints: readonly { readonly path: string; readonly step: number | null }[]): string[] {
  const steps = checkpoints.map(({ step }) => (step === null ? null : `step ${formatStep(step)}`));
  const names = checkpoints.map(({ path }) => basename(path) || path);
  if (!steps.includes(null) && distinct(steps)) return steps as string[];
  return distinct(names) ? names : checkpoints.map(({ path }) => path);
}

function distinct(values: readonly unknown[]): boolean {
  return new Set(values).size === values.length;
}
