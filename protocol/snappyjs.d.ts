declare module 'snappyjs' {
  /** Throws when the block is damaged or says that it is longer than `maxLength`. */
  export function uncompress(compressed: Buffer, maxLength?: number): Buffer
  export function compress(data: Buffer): Buffer
}
