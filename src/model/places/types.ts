/** Whether expert e of one checkpoint is still expert e of the next. */
export interface PairIdentity {
  /**
   * `permuted`: another order fits clearly better, by router rows and by expert weights. `one-sided`: by one
   * of the two alone, because the other disagrees (no exchange of experts explains that) or could not be
   * looked at. `unrelated`: no order fits, the stored one no better than chance would have it. `same`
   * otherwise.
   */
  readonly status: 'same' | 'permuted' | 'one-sided' | 'unrelated';
  /**
   * Where an expert went, for those that moved: by both measures for `permuted`, by the one that says so for
   * `one-sided`.
   */
  readonly moved: readonly { readonly from: number; readonly to: number }[];
  /** Which measure alone says so, for `one-sided`. */
  readonly by: 'router' | 'weights' | null;
  /**
   * Groups of experts that could be exchanged and nothing would show it (upcycled from one, dead, or begun
   * anew): they count as unmoved.
   */
  readonly ties: readonly (readonly number[])[];
  /**
   * Least, over experts e outside ties, of cosine(e, e) less the largest cosine(e, f): negative where another
   * expert is nearer. Null where all are ties.
   */
  readonly margin: { readonly router: number | null; readonly weights: number | null };
}
