import { ACQUISITION_FUNCTIONS } from '../gaussian-process/names.ts';

// Words for options, as in gaussian-process/names.ts.

export const SAMPLERS = ['gp', 'grid', 'random', 'sobol'] as const;
export type SamplerName = (typeof SAMPLERS)[number];

/** `hedge` draws one of EI, PI and UCB each time, by what they have led to. */
export const ACQUISITIONS = ['hedge', ...ACQUISITION_FUNCTIONS] as const;
export type Acquisition = (typeof ACQUISITIONS)[number];
