export interface DumpOptions {
  readonly deepIteration?: boolean
  readonly printDataLog?: boolean
}

export type Print = (line: string) => void
