import { ProtocolError } from '../../../protocol/protocol-error.ts'
import { Reader } from '../../../protocol/reader.ts'
import { KraftImage } from './kraft-image.ts'
import {
  ABORT_TRANSACTION,
  BEGIN_TRANSACTION,
  END_TRANSACTION,
  RECORD_TYPES,
  RECORDS_OF_NO_USE,
} from './record-types.ts'

const FRAME_VERSION = 1

/**
 * Makes an image of the records of `__cluster_metadata`, in their order. Types that this version does not know are passed
 * over and counted; a record that topics depend on is read or refused.
 */
export class KraftReplay {
  readonly image = new KraftImage()
  /** How many records were passed over, by type and version. */
  readonly unknown = new Map<string, number>()
  /** Records of a transaction (KIP-868) that has not ended. */
  #open: Buffer[] | null = null

  /** The record's value: a view, copied where it must stay. Throws a ProtocolError. */
  apply(record: Buffer): void {
    const reader = new Reader(record)
    const frameVersion = reader.uvarint()
    if (frameVersion !== FRAME_VERSION)
      throw new ProtocolError(`a metadata record in a frame of version ${frameVersion}`)
    const type = reader.uvarint()
    const version = reader.uvarint()
    if (type === BEGIN_TRANSACTION) this.#open = []
    else if (type === ABORT_TRANSACTION) this.#open = null
    else if (type === END_TRANSACTION) this.#commit()
    else if (this.#open !== null) this.#open.push(Buffer.from(record))
    else this.#change(reader, type, version)
  }

  #commit(): void {
    const records = this.#open ?? []
    this.#open = null
    for (const record of records) this.apply(record)
  }

  #change(reader: Reader, type: number, version: number): void {
    if (RECORDS_OF_NO_USE.has(type)) return
    const known = RECORD_TYPES.get(type)
    if (known !== undefined && version <= known.maxVersion) {
      known.apply(this.image, reader, version)
      return
    }
    if (known?.needed === true)
      throw new ProtocolError(`a metadata record of type ${type} in version ${version}`)
    const what = `${type} v${version}`
    this.unknown.set(what, (this.unknown.get(what) ?? 0) + 1)
  }
}
