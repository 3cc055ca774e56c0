import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ScoreFunction } from '../../src/index.ts';

/** Items of what {@link scoreOfBytes} says. */
const ITEMS = 12;

/** A score of a model that follows from the bytes of its weights, and from nothing else. */
export function scoreOfBytes(model: string): { readonly score: number; readonly items: readonly number[] } {
  const digest = createHash('sha256')
    .update(readFileSync(join(model, 'model.safetensors')))
    .digest();
  const items = Array.from({ length: ITEMS }, (_, i) => 1 + digest[i]! / 256);
  return { score: items.reduce((sum, item) => sum + item, 0) / ITEMS, items };
}

/** An evaluator in this process that says it, and remembers what it was asked. */
export function countedScores(): { readonly evaluate: ScoreFunction; readonly asked: string[] } {
  const asked: string[] = [];
  const evaluate: ScoreFunction = async (model) => {
    const found = scoreOfBytes(model);
    asked.push(found.score.toString());
    return { ...found, higherIsBetter: false };
  };
  return { evaluate, asked };
}
