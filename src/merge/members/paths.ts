/** Paths that a warning names. */
const SHOWN = 3;

/** Paths as the subject of a sentence: of many the first. */
export function severalPaths(paths: readonly string[]): string {
  return paths.length > SHOWN ? `${paths.slice(0, SHOWN).join(', ')} and ${paths.length - SHOWN} more` : paths.join(' and ');
}
