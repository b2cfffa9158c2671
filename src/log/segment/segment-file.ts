import assert from 'node:assert/strict'
import type { Disk, File, OpenMode } from '../../ports.ts'

/** An open file that stays open, and is the same one, until `release`: for whoever needs more than one step. */
export class HeldFile {
  readonly file: File
  #holders = 0
  #givenUp = false

  constructor(file: File) {
    this.file = file
  }

  get isHeld(): boolean {
    return this.#holders > 0
  }

  hold(): this {
    this.#holders += 1
    return this
  }

  /** Once per `hold`. */
  release(): void {
    assert(this.#holders > 0, 'a file is released once')
    this.#holders -= 1
    if (this.#givenUp && this.#holders === 0) this.file.close()
  }

  /** Closes it, as soon as nobody holds it. */
  giveUp(): void {
    this.#givenUp = true
    if (this.#holders === 0) this.file.close()
  }
}

/** The log file of one segment: opened when it is asked for, shared by all who hold it. */
export class SegmentFile {
  readonly #disk: Disk
  #path: string
  #open: HeldFile | null = null
  /** Given up while somebody held them or something was under way in them. */
  #leaving: HeldFile[] = []

  constructor(disk: Disk, path: string) {
    this.#disk = disk
    this.#path = path
  }

  get path(): string {
    return this.#path
  }

  /** Somebody holds it, or something is under way in it, read or sent: the bytes may be needed as they are. */
  get inUse(): boolean {
    return (this.#open !== null && isUsed(this.#open)) || this.#leaving.some(isUsed)
  }

  /** Throws what the disk throws. Only with `create` a file is made. */
  open(mode: OpenMode): HeldFile {
    this.#open ??= new HeldFile(this.#disk.open(this.#path, mode))
    return this.#open
  }

  giveUp(): void {
    const open = this.#open
    if (open === null) return
    this.#open = null
    open.giveUp()
    this.#leaving = this.#leaving.filter(isUsed)
    if (isUsed(open)) this.#leaving.push(open)
  }

  /** The file has another name now; who holds it does not notice. */
  renamed(path: string): void {
    this.#path = path
  }
}

function isUsed(held: HeldFile): boolean {
  return held.isHeld || held.file.busy
}
