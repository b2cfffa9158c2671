import assert from 'node:assert/strict'
import net from 'node:net'
import { test } from 'node:test'
import { startAdminHttp } from '../../../src/system/figures/admin-http.ts'
import type { AdminSources } from '../../../src/system/figures/admin-http.ts'

const sources: AdminSources = {
  metrics: async () => 'samsa_figure 1\n',
  metricsContentType: 'text/plain; version=0.0.4',
  live: () => ({ healthy: true, reasons: [] }),
  ready: () => ({ healthy: false, reasons: ['recovering 3 logs'] }),
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
