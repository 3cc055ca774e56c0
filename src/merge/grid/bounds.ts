import { softLimit } from '../../base/machine/limits.ts';
import { defaultThreads } from '../../base/machine/threads.ts';
import { DEFAULT_MEMORY } from '../plan/build.ts';

/** A tile of an output at least, for each thread (`native/engine/shape.cpp`). */
const LEAST_TILE = 64 * 2 ** 10;
/** Share of the memory for buffers that outputs may have of it, and as much beside it: inputs need some, too. */
const OF_MEMORY = 0.5;
/**
 * What a process keeps of each tensor for each output of a read: where it lies, sums of its bytes for the journal.
 * Measured with 20,000 tensors: 200.
 */
const BYTES_A_TENSOR = 250;
/** Files that are open for each output of a read: four, and one to spare. */
const FILES_AN_OUTPUT = 5;
/** Of the limit of open files, what is left to inputs and everything else. */
const OTHER_FILES = 256;

/** Bytes that a process keeps for the outputs of one read, beside the memory for buffers. */
export function bytesBeside(outputs: number, tensors: number): number {
  return outputs * tensors * BYTES_A_TENSOR;
}

/**
 * Most outputs of one read: every thread is to have a tile of each within half of the memory for buffers, what the
 * process keeps of their tensors is to be no more than as much again, and it may open only so many files.
 * @param tensors of one output
 */
export function mostOutputs(
  { memory = DEFAULT_MEMORY, threads = defaultThreads() }: { readonly memory?: number | undefined; readonly threads?: number | undefined },
  tensors: number,
  openFiles = softLimit('Max open files') ?? Number.POSITIVE_INFINITY,
): number {
  const share = OF_MEMORY * memory;
  const most = Math.min(
    share / (threads * LEAST_TILE),
    share / bytesBeside(1, Math.max(tensors, 1)),
    (openFiles - OTHER_FILES) / FILES_AN_OUTPUT,
  );
  return Math.max(1, Math.floor(most));
}
