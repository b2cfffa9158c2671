import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import type { FileSlice } from '../../ports.ts'
import type { NativeAddon } from '../native-addon.ts'
import type { ThreadShare } from './thread-shares.ts'

const { EAGAIN, EIO, ENOSYS } = os.constants.errno

/**
 * A slice of an open file, when all its bytes are in the page cache and the system can send them from there; else
 * null. `released` tells the file that the descriptor is not needed for it any more. `surelyCached` answers for kernels
 * before Linux 6.5, which do not tell what they have in memory.
 */
export function sliceOf(
  addon: NativeAddon | null,
  threads: ThreadShare,
  fd: number,
  position: number,
  length: number,
  surelyCached: () => boolean,
  released: () => void,
): DescriptorSlice | null {
  if (addon === null || length <= 0) return null
  const cachedBytes = addon.cachedBytes(fd, position, length)
  if (cachedBytes === -ENOSYS ? !surelyCached() : cachedBytes < length) return null
  return new DescriptorSlice(addon, threads, fd, position, length, released)
}

/** A stretch of an open file, and how much of it was sent. */
export class DescriptorSlice implements FileSlice {
  readonly length: number
  readonly #addon: NativeAddon
  readonly #threads: ThreadShare
  readonly #fd: number
  readonly #released: () => void
  readonly #end: number
  #position: number
  #reading = false
  #done = false

  constructor(
    addon: NativeAddon,
    threads: ThreadShare,
    fd: number,
    position: number,
    length: number,
    released: () => void,
  ) {
    this.#addon = addon
    this.#threads = threads
    this.#fd = fd
    this.length = length
    this.#position = position
    this.#end = position + length
    this.#released = released
  }

  /** Bytes not sent yet. */
  get left(): number {
    return this.#end - this.#position
  }

  /** Whether the next `length` bytes can be sent without waiting for the device. */
  inMemory(length: number): boolean {
    return this.#addon.cachedBytes(this.#fd, this.#position, length) === length
  }

  /**
   * Sends up to `length` bytes: how many the socket took, 0 when it takes none now, or a negative errno. Bytes that
   * are not in memory are waited for.
   */
  sendTo(socketFd: number, length: number): number {
    const sent = this.#addon.sendfile(socketFd, this.#fd, this.#position, length)
    if (sent === -EAGAIN) return 0
    // A file that ends before the slice does was cut: the rest of the answer is gone.
    if (sent === 0) return -EIO
    if (sent > 0) this.#position += sent
    return sent
  }

  /** The next bytes, counted as sent, when they are in memory; how many, or -1. */
  readNow(into: Buffer): number {
    const count = this.#addon.readNow(this.#fd, into, 0, Math.min(into.length, this.left), this.#position)
    if (count <= 0) return -1
    this.#position += count
    return count
  }

  /** As `readNow`, from the device. `done` also when the slice was released meanwhile; -1 when there is nothing. */
  read(into: Buffer, done: (bytesRead: number) => void): void {
    assert(!this.#reading && !this.#done)
    this.#reading = true
    this.#threads.run((ended) =>
      fs.read(this.#fd, into, 0, Math.min(into.length, this.left), this.#position, (error, count) => {
        ended()
        this.#reading = false
        if (this.#done) this.#released()
        if (error === null) this.#position += count
        done(error === null && count > 0 ? count : -1)
      }),
    )
  }

  release(): void {
    assert(!this.#done, 'a slice is released once')
    this.#done = true
    if (!this.#reading) this.#released()
  }
}
