export interface DescribedDirectory {
  readonly errorCode: number
  readonly logDir: string
  readonly topics: DescribedTopic[]
  /** -1: unknown. */
  readonly totalBytes: number
  readonly usableBytes: number
}

export interface DescribedTopic {
  readonly name: string
  readonly partitions: {
    partitionIndex: number
    partitionSize: number
    offsetLag: number
    isFutureKey: boolean
  }[]
}
