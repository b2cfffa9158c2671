import { ApiKey } from '../../protocol/keys.ts'

/** Answers up to this size are too small to be expected. */
const SMALL_BYTES = 64 * 1024
/** Requests up to this size have few elements. */
const SHORT_REQUEST_BYTES = 32 * 1024
/** What a byte of a long request becomes until it is answered: an object for each name, and one in the answer. */
const BYTES_PER_REQUEST_BYTE = 16
/** The same of a Produce request of very many partitions: each has a view of its records and a result besides. */
export const BYTES_PER_PRODUCE_BYTE = 32
/** An answer that is being put together takes several times the bytes that are sent. */
const IN_WORK_FACTOR = 4
/** How fast a large answer is forgotten: by one part in so many with each smaller one. */
const FORGET = 16

/**
 * These reserve for themselves what they read, or wait for others for as long as it takes and must not hold room for
 * an answer meanwhile.
 */
const NOT_EXPECTED: ReadonlySet<number> = new Set([
  ApiKey.Produce,
  ApiKey.Fetch,
  ApiKey.JoinGroup,
  ApiKey.SyncGroup,
  ApiKey.MetadataPoll,
])

/**
 * How large the answers of each API were lately. What cannot be known before the work is done, but must be reserved
 * before it begins: thousands of clients may ask for the metadata of everything in the same moment.
 */
export class AnswerSizes {
  readonly #byApi = new Map<number, number>()

  /** Memory that a request of this API and size will probably need. */
  expectedBytes(apiKey: number, requestBytes: number): number {
    const bytes = this.#byApi.get(apiKey) ?? 0
    const forAnswer = bytes < SMALL_BYTES ? 0 : bytes * IN_WORK_FACTOR
    if (requestBytes <= SHORT_REQUEST_BYTES || NOT_EXPECTED.has(apiKey)) return forAnswer
    return Math.max(forAnswer, requestBytes * BYTES_PER_REQUEST_BYTE)
  }

  observe(apiKey: number, bytes: number): void {
    const known = this.#byApi.get(apiKey) ?? 0
    if ((bytes < SMALL_BYTES && known < SMALL_BYTES) || NOT_EXPECTED.has(apiKey)) return
    this.#byApi.set(apiKey, bytes >= known ? bytes : known - (known - bytes) / FORGET)
  }
}

/**
 * What a request will probably take when it is decoded, as far as others wait for that. Of a Produce request most are
 * records, which stay where they are; one of very many partitions is noticed when it is decoded.
 */
export function decodedBytesOf(apiKey: number, requestBytes: number): number {
  if (requestBytes <= SHORT_REQUEST_BYTES || apiKey === ApiKey.Produce) return 0
  return requestBytes * BYTES_PER_REQUEST_BYTE
}
