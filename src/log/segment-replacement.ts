export declare class SegmentReplacement {
  private constructor()
  readonly baseOffset: number
  readonly sizeBytes: number
  /** Takes whole batches with their final offsets, ascending. The buffer is free again when it resolves. */
  append(batches: Buffer): Promise<void>
  /** Removes the `.cleaned` files. */
  abandon(): Promise<void>
}
