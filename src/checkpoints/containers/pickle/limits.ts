/** Limits of the pickle reader. Each is a guard against hostile or damaged files, far above anything real. */

/** Longest pickle, in bytes. The `.metadata` of 256,000 chunks has 37 MB. */
export const MAX_PICKLE_BYTES = 2 ** 30;

/**
 * Longest text that is read as one, in bytes of UTF-8: a name may be that long. Longer ones are passed over.
 */
export const MAX_STRING_BYTES = 2 ** 16;

/** Longest integer, in bytes. */
export const MAX_INTEGER_BYTES = 2 ** 16;

/** Longest line of a module's or class's name, in bytes. */
export const MAX_NAME_BYTES = 2 ** 10;

/** Objects in a pickle, and values in its lists, dicts and tuples: those of 256,000 chunks are 6 million. */
export const MAX_OBJECTS = 2 ** 26;

/** Number of a memo entry. Python's memo is a dict, in which one entry may have any number. */
export const MAX_MEMO_INDEX = 2 ** 28;

/** Objects that a pickle comes back to. */
export const MAX_KEPT = 2 ** 23;

/**
 * Values at once on the stack: Python appends and sets a thousand at a time, a tuple has as many as it has.
 */
export const MAX_STACK = 2 ** 22;

/** Most dimensions of a tensor, and axes of a mesh. */
export const MAX_DIMENSIONS = 64;

/** Deepest nesting of lists, dicts and tuples that is looked into. */
export const MAX_DEPTH = 64;
