/** Between a client and a server: passes everything on, or loses answers. */
import { createServer, connect } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'

export interface LosingProxy extends AsyncDisposable {
  readonly address: string
  /** The next answer is lost, and the connection with it. What was asked arrives. Resolves when that has happened. */
  loseNextAnswer(): Promise<void>
}

export async function losingProxy(target: string): Promise<LosingProxy> {
  const [host, port] = target.split(':')
  let lost: (() => void) | null = null
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(port), host)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on('data', (bytes) => upstream.write(bytes))
    upstream.on('data', (bytes) => {
      if (lost === null) {
        client.write(bytes)
        return
      }
      client.destroy()
      lost()
      lost = null
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    loseNextAnswer: () => new Promise((resolve) => (lost = resolve)),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
