/** Limits of the readers. Each is a guard against hostile or damaged files, far above anything real. */

/**
 * Longest header, in bytes of JSON: the limit of the reference library, so a file beyond it can be loaded by
 * nothing that is built on that library. 500,000 tensors in one file need about 65 MB.
 */
export const MAX_HEADER_BYTES = 100_000_000;

/**
 * Longest index, in bytes: 500,000 tensors need 60 MB, and a JavaScript string ends at 536 million
 * characters.
 */
export const MAX_INDEX_BYTES = 500_000_000;

/**
 * Deepest nesting of a JSON value in an index's `metadata`, so that a file of brackets cannot exhaust the
 * stack.
 */
export const MAX_JSON_DEPTH = 64;

/**
 * Files opened at the same time while reading headers: enough to hide the latency of a network file system,
 * far below any `ulimit -n`.
 */
export const MAX_OPEN_FILES = 16;
