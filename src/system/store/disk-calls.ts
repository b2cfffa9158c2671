import type { DiskError } from '../../ports.ts'

/** A call of the disk as a promise. */
export function settled(start: (done: (error: DiskError | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => (error === null ? resolve() : reject(error))))
}
