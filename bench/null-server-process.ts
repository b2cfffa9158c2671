import { startNullServer } from './null-server.ts'

/** The null server in its own process: says its port over IPC and ends with its parent. */
const server = await startNullServer('127.0.0.1', 0)
const address = server.address()
if (address === null || typeof address === 'string') throw new Error('the null server has no port')
process.send?.(address.port)
process.once('disconnect', () => process.exit(0))
