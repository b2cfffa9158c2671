export declare class Segment {
  private constructor()
  readonly baseOffset: number
  readonly sizeBytes: number
  /** -1 when no record carries one. */
  readonly largestTimestampMs: number
  /** Reads up to `into.length` bytes at `position`; resolves to what was read (less only at the end of the segment). */
  read(position: number, into: Buffer): Promise<number>
}
