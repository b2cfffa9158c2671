import { isError } from '../core/is-error.ts'
import { SamsaError } from '../core/samsa-error.ts'
import { StoreError } from '../system/store/embedded-store-tree.ts'

/** What the store and the system say, as errors of ours. What nobody foresaw stays what it is. */
export function typed(error: unknown): unknown {
  if (error instanceof StoreError) return new SamsaError('SAMSA_METADATA_STORE', error.message, error)
  if (isError(error) && 'syscall' in error) return new SamsaError('SAMSA_DISK_IO', error.message, error)
  return error
}
