import type { Context } from '../terminal/context.ts';
import { type AverageFlags, planOnly } from './average.ts';

/** `merge plan`: what `average` with the same words would do. */
export async function run(context: Context, args: readonly (string | readonly string[])[], flags: AverageFlags): Promise<number> {
  return planOnly(context, args[0] as readonly string[], flags);
}
