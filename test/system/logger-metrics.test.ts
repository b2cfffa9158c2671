import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogger, silentLogger } from '../../src/system/pino-logger.ts'
import { METRICS_CONTENT_TYPE, PromMetrics } from '../../src/system/figures/prom-metrics.ts'
import { QuantileWindow } from '../../src/system/figures/quantile-window.ts'

function collector() {
  const lines: string[] = []
  return { lines, destination: { write: (line: string) => void lines.push(line) } }
}

test('JSON lines carry level, time, the fields of all ancestors, and errors with their stack', async () => {
  const { lines, destination } = collector()
  const logger = await createLogger({ level: 'info', format: 'json', destination })
  logger.debug({}, 'not shown')
  logger
    .child({ broker: 1 })
    .child({ topic: 'a' })
    .warn({ err: new Error('bad'), partition: 3 }, 'offline')
  assert.equal(lines.length, 1)
  const line: unknown = JSON.parse(lines[0] ?? '')
  assert.ok(typeof line === 'object' && line !== null)
  const fields = new Map<string, unknown>(Object.entries(line))
  assert.equal(fields.get('level'), 'warn')
  assert.equal(fields.get('broker'), 1)
  assert.equal(fields.get('topic'), 'a')
  assert.equal(fields.get('partition'), 3)
  assert.equal(fields.get('msg'), 'offline')
  assert.match(String(fields.get('time')), /^\d{4}-\d\d-\d\dT/)
  assert.match(JSON.stringify(fields.get('err')), /bad.*stack/)
})

test('human lines are one line of text, coloured on request', async () => {
  for (const colour of [false, true]) {
    const { lines, destination } = collector()
    const logger = await createLogger({ level: 'debug', format: 'human', colour, destination })
    logger.info({ topic: 'orders' }, 'created')
    assert.equal(lines.length, 1)
    assert.match(lines[0] ?? '', /INFO.*created.*orders/)
    assert.equal((lines[0] ?? '').includes('\u001b['), colour)
  }
})

test('whatever is logged is one line of visible text, of bounded length', async () => {
  const hostile = 'a\u009b31m\u202eb\u2028c\u007fd\u001b[2Je\nFORGED \ud800'
  for (const format of ['json', 'human'] as const) {
    const { lines, destination } = collector()
    const logger = (await createLogger({ level: 'info', format, destination })).child({ clientId: hostile })
    logger.warn(
      { id: hostile, list: [hostile], nested: { [hostile]: hostile }, error: new TypeError(hostile) },
      `joined by ${hostile}`,
    )
    assert.equal(lines.length, 1)
    const [line = ''] = lines
    // Frames of the stack are lines of their own for people; what a client named never begins one.
    assert.doesNotMatch(line.trimEnd().replaceAll('\n', ''), /[\p{C}\p{Zl}\p{Zp}]/u, format)
    assert.doesNotMatch(line, /^FORGED/m)
    assert.ok(line.includes('u202e'))
    logger.info({ groupId: 'g'.repeat(100_000), error: new Error('e'.repeat(100_000)) }, 'm'.repeat(100_000))
    assert.ok((lines[1] ?? '').length < 20_000, `${lines[1]?.length} characters`)
  }
})

test('an error shows what it says and where it comes from, whatever its field is called', async () => {
  const { lines, destination } = collector()
  const logger = await createLogger({ level: 'info', format: 'json', destination })
  const failure = Object.assign(new Error('no room', { cause: new Error('deeper') }), { code: 'ENOSPC' })
  logger.error({ error: failure }, 'log failed')
  const line: unknown = JSON.parse(lines[0] ?? '')
  assert.ok(typeof line === 'object' && line !== null && 'error' in line)
  const { type, message, code, stack, cause } = Object(line.error)
  assert.deepEqual([type, message, code, cause.message], ['Error', 'no room', 'ENOSPC', 'deeper'])
  assert.match(stack, /^Error: no room\n\s+at .*logger-metrics/)
})

test('the silent logger and its children say nothing', () => {
  silentLogger.child({ a: 1 }).error({}, 'x')
})

test('counters, gauges and summaries in Prometheus form', async () => {
  const metrics = new PromMetrics()
  const help = 'Bytes that came in'
  const orders = metrics.counter('kafka_bytesin_total', help, { topic: 'orders' })
  metrics.counter('kafka_bytesin_total', help, { topic: 'a"b\\c\n' }).add(1)
  orders.add(5)
  metrics.counter('kafka_bytesin_total', help, { topic: 'orders' }).add(2)
  let partitions = 1
  metrics.gauge('kafka_partitioncount', 'Partitions', () => [{ value: partitions }])
  metrics.gauge('kafka_size', 'Sizes', () => [
    { labels: { topic: 'x', partition: '0' }, value: 10 },
    { labels: { topic: 'x', partition: '1' }, value: 20 },
  ])
  const fetch = metrics.summary('kafka_totaltimems', 'Times', { request: 'Fetch' })
  metrics.summary('kafka_totaltimems', 'Times', { request: 'Produce' })
  for (let i = 1; i <= 1000; i++) fetch.observe(i)
  partitions = 7
  const text = await metrics.scrape()
  assert.match(text, /# TYPE kafka_bytesin_total counter/)
  assert.match(text, /^kafka_bytesin_total\{topic="orders"\} 7$/m)
  assert.match(text, /^kafka_bytesin_total\{topic="a\\"b\\\\c\\n"\} 1$/m)
  assert.match(text, /^kafka_partitioncount 7$/m)
  assert.match(text, /^kafka_size\{topic="x",partition="1"\} 20$/m)
  assert.match(text, /^kafka_totaltimems_count\{request="Fetch"\} 1000$/m)
  assert.match(text, /^kafka_totaltimems_sum\{request="Fetch"\} 500500$/m)
  assert.doesNotMatch(text, /request="Produce"/)
  const p99 = Number(/request="Fetch",quantile="0.99"\} (\S+)/.exec(text)?.[1])
  assert.ok(p99 >= 990 && p99 <= 990 * 1.045, `p99 ${p99}`)
  assert.match(METRICS_CONTENT_TYPE, /^text\/plain; version=0\.0\.4/)
})

test('a gauge registered again replaces the first; registries are separate', async () => {
  const one = new PromMetrics()
  const two = new PromMetrics()
  one.gauge('g', 'h', () => [{ value: 1 }])
  one.gauge('g', 'h', () => [{ value: 2 }])
  two.gauge('g', 'h', () => [{ value: 3 }])
  assert.match(await one.scrape(), /^g 2$/m)
  assert.match(await two.scrape(), /^g 3$/m)
})

test('very many figures are written in slices, while they come and go', async () => {
  const metrics = new PromMetrics()
  const logs = new Map(Array.from({ length: 200_000 }, (_, n) => [String(n), n]))
  let turns = 0
  let inTurn = 0
  let mostInTurn = 0
  metrics.gauge('kafka_log_log_size', 'Bytes.', function* () {
    for (const [partition, value] of logs) {
      mostInTurn = Math.max(mostInTurn, ++inTurn)
      yield { labels: { topic: 'a-topic-of-many', partition }, value }
    }
  })
  let done = false
  const tick = (): void => {
    turns++
    inTurn = 0
    logs.delete(String(turns * 10))
    if (!done) setImmediate(tick)
  }
  setImmediate(tick)
  const text = await metrics.scrape()
  done = true
  assert.ok(turns > 5, `${turns} turns`)
  assert.ok(mostInTurn < 100_000, `${mostInTurn} in one turn`)
  const count = text.split('\nkafka_log_log_size{').length - 1
  assert.ok(count > 190_000 && count <= 200_000, `${count} lines`)
})

test('figures of the process', async () => {
  const metrics = new PromMetrics(true)
  assert.match(await metrics.scrape(), /^process_open_fds [1-9]\d*$/m)
  assert.match(await metrics.scrape(), /^process_resident_memory_bytes \d+/m)
})

test('the window forgets; quantiles are at most one bucket above the truth', () => {
  const window = new QuantileWindow(60_000, 4, 0)
  assert.deepEqual(window.quantiles([0.5], 0), [NaN])
  for (let i = 0; i < 100; i++) window.observe(1000, 1000)
  for (let i = 0; i < 100; i++) window.observe(2, 20_000)
  const near = (actual: number | undefined, truth: number): void => {
    assert.ok(
      actual !== undefined && actual >= truth * 0.999999 && actual <= truth * 1.0443,
      `${actual} for ${truth}`,
    )
  }
  const [low, high] = window.quantiles([0.5, 0.99], 50_000)
  near(low, 2)
  near(high, 1000)
  near(window.quantiles([0.99], 61_000)[0], 2)
  assert.deepEqual(window.quantiles([0.99], 80_000), [NaN])
  assert.deepEqual([window.count, window.sum], [200, 100_200])
  window.observe(0, 80_001)
  window.observe(-5, 80_001)
  assert.deepEqual(window.quantiles([0.5], 80_002), [0])
  window.observe(1e300, 80_002)
  assert.ok(Number.isFinite(window.quantiles([1], 80_002)[0]))
})
