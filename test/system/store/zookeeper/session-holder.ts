/** A process with a session and an ephemeral node, for a test that kills it. */
import { openSession } from './zookeeper-harness.ts'

// A session keeps no process alive.
setInterval(() => undefined, 1_000)
const [client, address] = process.argv.slice(2)
const session = await openSession(client!, address!, { sessionTimeoutMs: 20_000 })
await session.create('/of-the-killed', Buffer.alloc(0), 'ephemeral')
console.log('ready')
