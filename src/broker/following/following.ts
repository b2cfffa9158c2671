/** Who fetches for one partition, as the partition sees it. */
export interface Following {
  /** The log has written more. */
  written(): void
  /** The log has failed. */
  failed(): void
  /** The disk does not answer. */
  stalled(): void
}
