// Words for options: without imports, so that the command line knows them before anything is loaded.

export const KERNELS = ['matern52', 'matern32', 'rbf'] as const;
export type KernelName = (typeof KERNELS)[number];

/**
 * Log of the expected improvement, expected improvement, probability of improvement, upper confidence bound.
 */
export const ACQUISITION_FUNCTIONS = ['logei', 'ei', 'pi', 'ucb'] as const;
export type AcquisitionName = (typeof ACQUISITION_FUNCTIONS)[number];
