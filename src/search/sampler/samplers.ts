import type { Axis, Point } from '../gaussian-process/cube.ts';
import type { KernelName } from '../gaussian-process/names.ts';
import { gpSampler } from './gp-sampler.ts';
import { gridSampler } from './grid.ts';
import type { Acquisition, SamplerName } from './names.ts';
import { randomSampler, sobolSampler } from './sequence.ts';
import type { Sampler } from './types.ts';

export interface SamplerOptions {
  readonly axes: readonly Axis[];
  /** The space's own first points; of the sampler `gp`, the others have theirs. */
  readonly initial: readonly Point[];
  /** Integer, 0 to 2^53 − 1: the same seed proposes the same. */
  readonly seed: number;
  /** Trials of the whole search, at least 1: the size of a grid. */
  readonly trials: number;
  /** Of the sampler `gp`; without it `hedge` for one axis, `logei` for more. */
  readonly acquisition?: Acquisition | undefined;
  /** Of the sampler `gp`; Matérn 5/2 without it. */
  readonly kernel?: KernelName | undefined;
}

/**
 * One of the built-in samplers. All are functions of the history alone: a search that is resumed goes on as
 * it would have.
 */
export function samplerByName(name: SamplerName, options: SamplerOptions): Sampler {
  switch (name) {
    case 'gp':
      return gpSampler(options);
    case 'grid':
      return gridSampler(options.axes, options.trials);
    case 'random':
      return randomSampler(options.axes, options.seed);
    case 'sobol':
      return sobolSampler(options.axes, options.seed);
  }
}
