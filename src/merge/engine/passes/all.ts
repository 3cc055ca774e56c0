import { combine } from './combine.ts';
import type { Pass } from './pass.ts';
import { requantise } from './requantise.ts';

/** What is done for a unit, in this order. To add a pass: its file, and a row here. */
export const PASSES: readonly Pass[] = [combine, requantise];
