import { type ErrorCode, MergeError } from '../../base/errors.ts';
import type { Container } from './types.ts';

/**
 * A container of pickles, of which no file ends a run: what one describes may be beyond what JavaScript can
 * hold (a stack, a map), or of a form that its reader did not think of. That is a fault of this checkpoint to
 * those who list a run or open it; the error that was thrown is its cause. Faults of the machine and of other
 * parts pass as they are.
 * @param code of such a fault
 */
export function guarded(container: Container, code: ErrorCode): Container {
  const refuse = (path: string, error: unknown): never => {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    throw new MergeError(code, `${path}: describes what cannot be read as ${container.kind}: ${error.message}`, {
      details: { file: path },
      help: 'The file is damaged or made by hand; where a trainer wrote it, this is a defect: please report it with the names of the writer and its version.',
      cause: error,
    });
  };
  const { list } = container;
  return {
    ...container,
    open: (found, cache) => container.open(found, cache).catch((error: unknown) => refuse(found.path, error)),
    ...(list !== undefined && {
      list: (found, cache, named) => list(found, cache, named).catch((error: unknown) => refuse(found.path, error)),
    }),
  };
}
