import { describe, test } from 'node:test'
import { NetSockets } from '../../../src/system/network/net-sockets.ts'
import { Turn } from '../../../src/system/turn.ts'
import { outgoingConnections } from '../../support/outgoing-connections.ts'

describe('connections that we ask for', () => {
  for (const [name, body] of Object.entries(outgoingConnections))
    test(name, async () => {
      const sockets = new NetSockets(new Turn())
      await body({ listening: sockets, dialling: sockets, host: '127.0.0.1' })
    })
})
