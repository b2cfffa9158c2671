/** Frames that no client sends: whether they are answered, and whether the connection outlives them. */
import net from 'node:net'

/** The correlation id of the request behind the frame, which any broker answers. */
const NEXT = 0x7e57
const DEADLINE_MS = 20_000

/** Sends a frame (the bytes behind its size) and then ApiVersions 0, on a connection of their own. */
export function probe(port: number, frame: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' })
    let received = Buffer.alloc(0)
    const finish = (last: string): void => {
      clearTimeout(deadline)
      socket.destroy()
      resolve(correlationIds(received).length > (last === 'open' ? 1 : 0) ? `answered, ${last}` : last)
    }
    const deadline = setTimeout(() => finish('no answer'), DEADLINE_MS)
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes])
      if (correlationIds(received).includes(NEXT)) finish('open')
    })
    socket.on('error', () => finish('closed'))
    socket.on('close', () => finish('closed'))
    const next = Buffer.from([0, 18, 0, 0, 0, 0, NEXT >> 8, NEXT & 0xff, 0xff, 0xff])
    socket.write(Buffer.concat([sized(frame), sized(next)]))
  })
}

function sized(frame: Buffer): Buffer {
  const size = Buffer.alloc(4)
  size.writeInt32BE(frame.length)
  return Buffer.concat([size, frame])
}

function correlationIds(received: Buffer): number[] {
  const found: number[] = []
  for (let at = 0; at + 8 <= received.length; at += 4 + received.readInt32BE(at))
    if (at + 4 + received.readInt32BE(at) <= received.length) found.push(received.readInt32BE(at + 4))
  return found
}
