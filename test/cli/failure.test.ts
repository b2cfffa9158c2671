import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import { test } from 'node:test'
import { explain } from '../../src/cli/failure.ts'
import { whoListensOn } from '../../src/cli/port-owner.ts'
import { listenFailure } from '../../src/core/listen-failure.ts'
import { SamsaError } from '../../src/core/samsa-error.ts'
import { NetSockets } from '../../src/system/network/net-sockets.ts'
import { Turn } from '../../src/system/turn.ts'

test('a busy port: who has it and what to do', { skip: !fs.existsSync('/proc/net/tcp') }, async () => {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const bound = server.address()
  assert.ok(bound !== null && typeof bound === 'object')
  try {
    assert.deepEqual(whoListensOn(bound.port)?.pid, process.pid)
    const failure = await new NetSockets(new Turn())
      .listen({ host: '127.0.0.1', port: bound.port }, () => null)
      .then(
        () => null,
        (error: unknown) => listenFailure('who', { host: '::1', port: bound.port }, 'key=', error),
      )
    const text = explain(failure)
    assert.match(text, new RegExp(`^who cannot listen on \\[::1\\]:${bound.port}: the port is in use\\. `))
    assert.match(text, new RegExp(` key=\\[::1\\]:\\d+ \\(process ${process.pid}, \\S+, uses it\\)$`))
  } finally {
    server.close()
  }
  assert.equal(whoListensOn(bound.port), null)
})

test('foreseen errors are sentences, others keep their stack', () => {
  assert.equal(explain(new SamsaError('SAMSA_CONFIG', 'a=b: must be c')), 'a=b: must be c')
  assert.equal(
    explain(new SamsaError('SAMSA_DISK_IO', 'log x', new Error('EIO: write'))),
    'log x: EIO: write',
  )
  assert.match(explain(new TypeError('x is not a function')), /^TypeError: x is not a function\n\s+at /)
  assert.equal(explain('text'), 'text')
  const locked = new SamsaError(
    'SAMSA_DATA_DIR_LOCKED',
    'log.dirs: /x is in use by process 7',
    new Error('EBUSY: /x is in use by process 7'),
  )
  assert.equal(explain(locked), 'log.dirs: /x is in use by process 7')
  assert.equal(explain(new SamsaError('SAMSA_CONFIG', 'a\u009b=b\nsamsa: done')), 'a\\u009b=b\\nsamsa: done')
})
