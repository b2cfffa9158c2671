import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { describe, test } from 'node:test'
import { freshPath, Samsa, startSamsa } from './samsa-process.ts'

async function statusWithHost(port: number, host: string): Promise<number> {
  const socket = net.connect(port, '127.0.0.1')
  socket.write(`GET /metrics HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  const [answer] = await once(socket, 'data')
  socket.destroy()
  return Number(/^HTTP\/1\.1 (\d+) /.exec(String(answer))?.[1])
}

describe('samsa start', () => {
  test('one ready line, health, a clean stop by SIGTERM, and the same again', async () => {
    const dataDir = freshPath()
    const samsa = await startSamsa(dataDir, '--set', 'broker.id=7')
    assert.equal(samsa.stdout.split('[KafkaServer id=7] started').length, 2)
    assert.match(samsa.stdout, /"flush":"os","msg":"no acknowledged record is lost by kill -9/)
    assert.ok(samsa.stdout.includes(dataDir))
    assert.equal(fs.existsSync(path.join(dataDir, '.kafka_cleanshutdown')), false)

    const healthy = new Samsa(['health', '--bootstrap-server', `127.0.0.1:${samsa.port}`])
    assert.deepEqual(await healthy.exited, [0, null], healthy.stderr)
    assert.match(healthy.stdout, /is healthy: cluster [\w-]{22}, 1 broker/)

    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null], samsa.stdout + samsa.stderr)
    assert.ok(samsa.stdout.includes('[KafkaServer id=7] stopped'))
    assert.ok(fs.existsSync(path.join(dataDir, '.kafka_cleanshutdown')))

    const dead = new Samsa(['health', '--bootstrap-server', `127.0.0.1:${samsa.port}`])
    assert.deepEqual(await dead.exited, [1, null])
    assert.match(dead.stderr, /^samsa: 127\.0\.0\.1:\d+ is not healthy: .*ECONNREFUSED/)

    const again = await startSamsa(dataDir, '--set', 'broker.id=7', '--set', 'log.flush.interval.messages=1')
    assert.match(again.stdout, /"flush":"durable"/)
    again.child.kill('SIGINT')
    assert.deepEqual(await again.exited, [0, null], again.stdout + again.stderr)
  })

  test('start is the default command; KAFKA_ variables and a file configure it', async () => {
    const dataDir = freshPath()
    const file = `${dataDir}.properties`
    fs.writeFileSync(file, `log.dirs=${dataDir}\nno.such.key=1\n`)
    const samsa = new Samsa(['--config', file], {
      env: { KAFKA_LISTENERS: 'PLAINTEXT://127.0.0.1:0', KAFKA_BROKER_ID: '3' },
    })
    await samsa.says('[KafkaServer id=3] started')
    assert.match(samsa.stdout, /"level":"warn".*unknown configuration no\.such\.key/)
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null])
  })

  test('unknown keys are told whatever the log leaves out', async () => {
    for (const level of ['error', 'silent']) {
      const samsa = new Samsa(['--log-level', level, '--set', 'log.retention.hour=5', '--run', 'exit 3'], {
        env: { KAFKA_NUM_PARTITION: '3' },
      })
      assert.deepEqual(await samsa.exited, [3, null], samsa.stderr)
      assert.equal(
        samsa.stderr,
        'samsa: warning: unknown configuration num.partition (environment): it has no effect; did you mean num.partitions?\n' +
          'samsa: warning: unknown configuration log.retention.hour (--set): it has no effect; did you mean log.retention.hours?\n',
      )
    }
  })

  test('wrong configuration: key, value, what is allowed, exit code 1', async () => {
    const samsa = new Samsa(['start', '--set', 'num.partitions=many'])
    assert.deepEqual(await samsa.exited, [1, null])
    assert.match(samsa.stderr, /^samsa: num\.partitions=many \(--set\): must be .*\n$/)
    assert.equal(samsa.stdout, '')
    const nothing = new Samsa(['--run', ''])
    assert.deepEqual(await nothing.exited, [1, null])
    assert.equal(nothing.stderr, 'samsa: --run must be given a command\n')
    const nonsense = new Samsa(['start', '--set', 'nonsense'])
    assert.deepEqual(await nonsense.exited, [1, null])
    assert.match(nonsense.stderr, /key=value/)
    assert.ok(!nonsense.stderr.includes('nonsense'), 'it could have been a password')
  })

  test('a busy port and a directory in use: who has it, exit code 1', async () => {
    const dataDir = freshPath()
    const samsa = await startSamsa(dataDir)
    const samePort = new Samsa([
      'start',
      '--set',
      `listeners=PLAINTEXT://127.0.0.1:${samsa.port}`,
      '--set',
      `log.dirs=${freshPath()}`,
    ])
    assert.deepEqual(await samePort.exited, [1, null])
    assert.match(samePort.stderr, new RegExp(`^samsa: port ${samsa.port} is in use by .*--set listeners=`))
    const sameDirectory = new Samsa([
      'start',
      '--set',
      'listeners=PLAINTEXT://127.0.0.1:0',
      '--set',
      `log.dirs=${dataDir}`,
    ])
    assert.deepEqual(await sameDirectory.exited, [1, null])
    assert.match(
      sameDirectory.stderr,
      new RegExp(`^samsa: log\\.dirs: .* in use by process ${samsa.child.pid} on .*\n$`),
    )
    assert.equal(sameDirectory.stdout, '', 'once is enough')
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null])
  })

  test('figures and health over HTTP, from before the broker is ready', async () => {
    const server = net.createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const bound = server.address()
    assert.ok(bound !== null && typeof bound === 'object')
    server.close()
    await once(server, 'close')
    const samsa = await startSamsa(freshPath(), '--set', `samsa.admin.listener=127.0.0.1:${bound.port}`)
    const url = `http://127.0.0.1:${bound.port}`
    assert.equal((await fetch(`${url}/health/live`)).status, 200)
    assert.equal((await fetch(`${url}/health/ready`)).status, 200)
    const text = await (await fetch(`${url}/metrics`)).text()
    assert.match(text, /^kafka_server_replicamanager_partitioncount \d+$/m)
    assert.match(text, /^process_resident_memory_bytes /m)
    assert.match(text, /^samsa_log_dropped_lines_total 0$/m)
    assert.equal(await statusWithHost(bound.port, 'evil.example'), 403)
    assert.ok(!samsa.stdout.includes('anybody who reaches'))
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null])
  })

  test('an admin port that others can reach is warned about, and its names are known', async () => {
    const samsa = await startSamsa(
      freshPath(),
      '--set',
      'samsa.admin.listener=0.0.0.0:0',
      '--set',
      'samsa.admin.allowed.hosts=figures.internal',
    )
    assert.match(samsa.stdout, /"level":"warn".*"listener":"samsa.admin.listener".*anybody who reaches/)
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null])
  })
})

test('--version and --help', async () => {
  const version = new Samsa(['--version'])
  assert.deepEqual(await version.exited, [0, null])
  assert.match(version.stdout, /^\d+\.\d+\.\d+\n$/)
  const help = new Samsa(['--help'])
  assert.deepEqual(await help.exited, [0, null])
  for (const command of ['start', 'health', 'dump-log']) assert.ok(help.stdout.includes(command))
  const bogus = new Samsa(['bogus'])
  assert.deepEqual(await bogus.exited, [1, null])
  assert.match(bogus.stderr, /unknown command 'bogus'/)
  const unknown = new Samsa(['health', '--nonsense'])
  assert.deepEqual(await unknown.exited, [1, null])
})
