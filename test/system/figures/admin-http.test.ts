import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startAdminHttp } from '../../../src/system/figures/admin-http.ts'
import type { AdminSources } from '../../../src/system/figures/admin-http.ts'
import { SharedAnswer } from '../../../src/system/figures/shared-answer.ts'
import { until } from '../../support/until.ts'

const sources: AdminSources = {
  metrics: async () => 'samsa_figure 1\n',
  metricsContentType: 'text/plain; version=0.0.4',
  live: () => ({ healthy: true, reasons: [] }),
  ready: () => ({ healthy: false, reasons: ['recovering 3 logs'] }),
  hosts: ['metrics.internal'],
}
const local = { host: '127.0.0.1', port: 0 }

test('serves figures and health, and nothing else', async () => {
  const admin = await startAdminHttp(local, sources)
  const base = `http://127.0.0.1:${admin.address.port}`
  try {
    const metrics = await fetch(`${base}/metrics?x=1`)
    assert.equal(metrics.status, 200)
    assert.equal(metrics.headers.get('content-type'), 'text/plain; version=0.0.4')
    assert.equal(await metrics.text(), 'samsa_figure 1\n')
    const live = await fetch(`${base}/health/live`)
    assert.deepEqual([live.status, await live.json()], [200, { status: 'ok', reasons: [] }])
    const ready = await fetch(`${base}/health/ready`)
    assert.deepEqual(
      [ready.status, await ready.json()],
      [503, { status: 'unavailable', reasons: ['recovering 3 logs'] }],
    )
    assert.equal((await fetch(`${base}/`)).status, 404)
    assert.equal((await fetch(`${base}/metrics`, { method: 'POST', body: 'x' })).status, 405)
    const head = await fetch(`${base}/metrics`, { method: 'HEAD' })
    assert.deepEqual([head.status, await head.text()], [200, ''])
  } finally {
    await admin.close()
  }
})

test('a scrape that fails is a 500, and the endpoint lives on', async () => {
  let fail = true
  const admin = await startAdminHttp(local, {
    ...sources,
    metrics: async () => {
      if (fail) throw new Error('a gauge could not be read')
      return 'ok\n'
    },
  })
  const url = `http://127.0.0.1:${admin.address.port}/metrics`
  try {
    assert.equal((await fetch(url)).status, 500)
    fail = false
    assert.equal((await fetch(url)).status, 200)
  } finally {
    await admin.close()
  }
})

test('a busy port is an error with its code; open connections do not hold up close', async () => {
  const admin = await startAdminHttp(local, sources)
  await assert.rejects(startAdminHttp(admin.address, sources), { code: 'EADDRINUSE' })
  const idle = net.connect(admin.address.port, '127.0.0.1')
  idle.on('error', () => {})
  await new Promise((resolve) => idle.once('connect', resolve))
  await admin.close()
  idle.destroy()
})

/** What comes back for these bytes until the connection is closed. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  socket.on('error', () => {})
  socket.write(bytes)
  await once(socket, 'close')
  return answer
}

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d+) /.exec(answer)?.[1])

test('one request is answered, whatever follows it is not, and the connection is closed', async () => {
  let scrapes = 0
  const admin = await startAdminHttp(local, {
    ...sources,
    metrics: async () => `scrape ${++scrapes}\n`,
  })
  const { port } = admin.address
  try {
    const request = 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n'
    const answer = await exchange(port, request.repeat(2_000))
    assert.equal(answer.split('HTTP/1.1 200').length, 2)
    assert.match(answer, /\r\nconnection: close\r\n/)
    assert.ok(answer.endsWith('\r\n\r\nscrape 1\n'))
    // Also when the client has said all it will say, and in pieces.
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    let half = ''
    socket.on('data', (chunk: Buffer) => (half += chunk.toString()))
    for (const byte of request) socket.write(byte)
    socket.end()
    await once(socket, 'close')
    assert.equal(statusOf(half), 200)
  } finally {
    await admin.close()
  }
})

test('figures are collected once for all who ask while it lasts, and anew a second later', async () => {
  let scrapes = 0
  let finish = (): void => {}
  const admin = await startAdminHttp(local, {
    ...sources,
    metrics: async () => {
      scrapes++
      await new Promise<void>((resolve) => (finish = resolve))
      return 'x'.repeat(1_000_000)
    },
  })
  const { port } = admin.address
  const ask = () => exchange(port, 'GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n')
  try {
    const asking = Array.from({ length: 50 }, ask)
    await sleep(1_000)
    finish()
    for (const answer of await Promise.all(asking)) assert.ok(answer.length > 1_000_000)
    assert.equal(scrapes, 1)
    await sleep(1_100)
    const later = ask()
    await until(() => scrapes >= 2)
    finish()
    await later
    assert.equal(scrapes, 2)
  } finally {
    await admin.close()
  }
})

test('an answer is kept for those who come later, a failure is not', async () => {
  let made = 0
  const shared = new SharedAnswer(async () => {
    if (++made === 1) throw new Error('once')
    return made
  }, 600_000)
  const both = [shared.get(), shared.get()]
  for (const answer of both) await assert.rejects(answer)
  assert.deepEqual([await shared.get(), await shared.get(), made], [2, 2, 2])
  const fleeting = new SharedAnswer(async () => ++made, 0)
  assert.deepEqual([await fleeting.get(), await fleeting.get()], [3, 4])
})

test('who is slow makes room, and a probe always gets through', async () => {
  const admin = await startAdminHttp(local, sources)
  const { port } = admin.address
  const slow: net.Socket[] = []
  let closed = 0
  for (let n = 0; n < 140; n++) {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.on('close', () => closed++)
    socket.write('GET /metrics HTTP/1.1\r\n')
    slow.push(socket)
  }
  const drip = setInterval(() => {
    for (const socket of slow) if (!socket.destroyed) socket.write('X-Slow: 1\r\n')
  }, 100)
  try {
    for (let probe = 0; probe < 38; probe++) {
      assert.equal((await fetch(`http://127.0.0.1:${port}/health/live`)).status, 200, `probe ${probe}`)
      await sleep(100)
    }
    assert.equal(closed, 140)
  } finally {
    clearInterval(drip)
    for (const socket of slow) socket.destroy()
    await admin.close()
  }
})

test('who asked and waits for the figures is not slow, however many wait', async () => {
  let finish!: (text: string) => void
  const collecting = new Promise<string>((resolve) => (finish = resolve))
  const admin = await startAdminHttp(local, { ...sources, metrics: () => collecting })
  const url = `http://127.0.0.1:${admin.address.port}/metrics`
  try {
    const first = Array.from({ length: 40 }, () => fetch(url))
    await sleep(400)
    const later = Array.from({ length: 40 }, () => fetch(url))
    await sleep(400)
    finish('samsa_figure 1\n')
    for (const response of await Promise.all([...first, ...later])) assert.equal(response.status, 200)
  } finally {
    await admin.close()
  }
})

test('a page that lets its name point here gets no figures', async () => {
  const admin = await startAdminHttp(local, sources)
  const { port } = admin.address
  const asked = async (host: string, path = '/metrics', version = '1.1') =>
    statusOf(await exchange(port, `GET ${path} HTTP/${version}\r\n${host}\r\n`))
  try {
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      'localhost.evil.example',
      '127.0.0.1.evil.example',
    ])
      assert.equal(await asked(`Host: ${host}\r\n`), 403, host)
    const good = [
      'localhost',
      'LOCALHOST.',
      `127.0.0.1:${port}`,
      '[::1]:9644',
      '10.0.0.7',
      'metrics.internal:9644',
    ]
    for (const host of good) assert.equal(await asked(`Host: ${host}\r\n`), 200, host)
    assert.equal(await asked('Host: localhost\r\n', 'http://evil.example/metrics'), 403)
    assert.equal(await asked('Host: evil.example\r\n', '/health/live'), 200)
    assert.equal(await asked('', '/metrics', '1.0'), 200)
    for (const wrong of [
      '',
      'Host: a\r\nHost: b\r\n',
      'Host: a b\r\n',
      'nonsense\r\n',
      'Host : localhost\r\n',
    ])
      assert.equal(await asked(wrong), 400, wrong)
  } finally {
    await admin.close()
  }
  const open = await startAdminHttp(local, { ...sources, hosts: ['*'] })
  try {
    const answer = await exchange(open.address.port, 'GET /metrics HTTP/1.1\r\nHost: any.example\r\n\r\n')
    assert.equal(statusOf(answer), 200)
  } finally {
    await open.close()
  }
})

test('what is no request of HTTP is refused and closed', async () => {
  const admin = await startAdminHttp(local, sources)
  const { port } = admin.address
  try {
    assert.equal(statusOf(await exchange(port, 'hello\r\n\r\n')), 400)
    assert.equal(statusOf(await exchange(port, `GET / HTTP/1.1\r\nX: ${'x'.repeat(10_000)}`)), 431)
    assert.equal(statusOf(await exchange(port, 'GET / HTTP/1.1\r\n')), 408)
    assert.equal(statusOf(await exchange(port, 'POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\nbody')), 405)
  } finally {
    await admin.close()
  }
})
