/** A model to be scored. */
export interface EvaluationRequest {
  /** Path of a checkpoint. */
  readonly model: string;
  readonly trial: number;
  /**
   * Folder in which each attempt gets a fresh one; made where it is not there. That of the attempt that gave
   * the score stays.
   */
  readonly out: string;
  /** File that gets what the command prints. */
  readonly log: string;
}
