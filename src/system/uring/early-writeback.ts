import type { OpenFile, Ring } from '../native-addon.ts'
import { syncRange } from '../native-addon.ts'
import type { RingDriver, RingOperation } from './ring-driver.ts'

/** What a file collects before the device is told to begin. */
const STRETCH_BYTES = 4 << 20
/** The last bytes are likely to be written again with the next append. */
const GRAIN_BYTES = 1 << 16
/** Each one takes a thread of the kernel while it waits for the device. */
const MAX_UNDER_WAY = 8

/**
 * Has the device write appended bytes soon after they came into the page cache. Left to itself the system collects
 * gigabytes and then stops the writer until they are on the device.
 */
export class EarlyWriteback {
  readonly driver: RingDriver
  underWay = 0

  constructor(driver: RingDriver) {
    this.driver = driver
  }

  get busy(): boolean {
    return this.underWay >= MAX_UNDER_WAY
  }
}

/** Of one file. */
export class FileWriteback implements RingOperation {
  readonly #disk: EarlyWriteback
  readonly #file: OpenFile
  readonly #ended: () => void
  #start = -1
  #end = -1
  #underWay = false
  #position = 0
  #length = 0

  /** `ended` is called when a started writeback has ended. */
  constructor(disk: EarlyWriteback, file: OpenFile, ended: () => void) {
    this.#disk = disk
    this.#file = file
    this.#ended = ended
  }

  /** Returns true when it started to write back; the descriptor has to stay open until `ended`. */
  wrote(position: number, length: number): boolean {
    if (position !== this.#end) this.#start = position
    this.#end = position + length
    if (this.#end - this.#start < STRETCH_BYTES || this.#underWay || this.#disk.busy) return false
    const end = this.#end - (this.#end % GRAIN_BYTES)
    this.#position = this.#start
    this.#length = end - this.#start
    this.#start = end
    this.#underWay = true
    this.#disk.underWay++
    this.#disk.driver.start(this)
    return true
  }

  queue(ring: Ring, id: number): number {
    return ring.syncFileRange(id, this.#file.fd, this.#position, this.#length, syncRange.write)
  }

  /** Whatever the answer is: a device that fails tells it to the next flush. */
  ended(): void {
    this.#underWay = false
    this.#disk.underWay--
    this.#ended()
  }
}
