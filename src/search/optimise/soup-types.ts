/** A greedy soup as far as it came, part of the JSON document. */
export interface GreedySoup {
  /**
   * First trial of the recipe that the ingredients added so far make: of the best single where none was added
   * to it.
   */
  readonly trial: number;
  /** Its score, as a mean where it was scored several times. */
  readonly score: number;
  /** Ingredients in the order in which they were tried: best first. */
  readonly tried: readonly SoupIngredient[];
  /** Ingredients that are left to try. */
  readonly left: number;
}

/** An ingredient, and what became of the soup with it. */
export interface SoupIngredient {
  readonly path: string;
  readonly step: number | null;
  /** Score of the ingredient alone. */
  readonly alone: number;
  /** First trial of the soup with it. */
  readonly trial: number;
  /** Score of the soup with it; null where that failed. */
  readonly score: number | null;
  /** The soup with it was at least as good as without. */
  readonly added: boolean;
}
