/** A run of elements of a layout tensor, and where a member has it. */
export interface Piece {
  /** First element in the layout's tensor. */
  readonly from: number;
  readonly elements: number;
  /** The member's tensor: shard, row, and first element in it. */
  readonly shard: number;
  readonly row: number;
  readonly sourceFrom: number;
}

/** How a member holds a tensor of the layout that it has under another name or in another form. */
export type Arranged =
  | { readonly pieces: readonly Piece[] }
  /** Why its elements cannot be found by moving byte ranges alone. */
  | { readonly refused: string };

/** A member's tensors seen in the layout. */
export interface Arrangement {
  /**
   * @returns undefined where the member has nothing that could be this tensor @param shard of the layout
   *   @param row of that shard
   */
  of(shard: number, row: number): Arranged | undefined;
  /** Whether some tensor of the layout is made of this tensor of the member. */
  uses(shard: number, row: number): boolean;
}
