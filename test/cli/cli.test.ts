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

    const address = `127.0.0.1:${samsa.port}`
    for (const args of [[address], ['--bootstrap-server', address], [`127.0.0.1:1, ${address}`]]) {
      const healthy = new Samsa(['health', ...args])
      assert.deepEqual(await healthy.exited, [0, null], healthy.stderr)
      assert.match(healthy.stdout, /is healthy: cluster [\w-]{22}, 1 broker/)
    }

    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null], samsa.stdout + samsa.stderr)
    assert.ok(samsa.stdout.includes('[KafkaServer id=7] stopped'))
    assert.ok(fs.existsSync(path.join(dataDir, '.kafka_cleanshutdown')))

    const dead = new Samsa(['health', '--bootstrap-server', `127.0.0.1:${samsa.port}`])
    assert.deepEqual(await dead.exited, [1, null])
    assert.match(dead.stderr, /^samsa: 127\.0\.0\.1:\d+ is not healthy: connection refused\n/)

    const again = await startSamsa(dataDir, '--set', 'broker.id=7', '--set', 'log.flush.interval.messages=1')
    assert.match(again.stdout, /"flush":"durable"/)
    again.child.kill('SIGINT')
    assert.deepEqual(await again.exited, [0, null], again.stdout + again.stderr)
  })

  test('start is the default command; KAFKA_ variables and a file configure it', async () => {
    const dataDir = freshPath()
    const file = `${dataDir}.properties`
    // Some editors begin it with a mark.
    fs.writeFileSync(file, `\uFEFFlog.dirs=${dataDir}\nno.such.key=1\n`)
    const samsa = new Samsa(['--config', file], {
      env: { KAFKA_LISTENERS: 'PLAINTEXT://127.0.0.1:0', KAFKA_BROKER_ID: '3' },
    })
    await samsa.says('[KafkaServer id=3] started')
    assert.match(samsa.stdout, /"level":"warn".*unknown configuration no\.such\.key/)
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [0, null])
  })

  test('SIGQUIT does not end it, and a stop that cannot close its directory is no success', async () => {
    const dataDir = freshPath()
    const samsa = await startSamsa(dataDir)
    samsa.child.kill('SIGQUIT')
    await samsa.says('SIGQUIT: running on')
    fs.renameSync(dataDir, `${dataDir}.gone`)
    samsa.child.kill('SIGTERM')
    assert.deepEqual(await samsa.exited, [1, null], samsa.stdout + samsa.stderr)
    assert.equal(fs.existsSync(path.join(`${dataDir}.gone`, '.kafka_cleanshutdown')), false)
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
    assert.match(
      samePort.stderr,
      new RegExp(`^samsa: listener PLAINTEXT cannot listen on 127.0.0.1:${samsa.port}: the port is in use`),
    )
    assert.match(
      samePort.stderr,
      new RegExp(` listeners=PLAINTEXT://127.0.0.1:${samsa.port + 1} \\(process `),
    )
    const sameAdminPort = new Samsa([
      'start',
      '--set',
      'listeners=PLAINTEXT://127.0.0.1:0',
      '--set',
      `log.dirs=${freshPath()}`,
      '--set',
      `samsa.admin.listener=127.0.0.1:${samsa.port}`,
    ])
    assert.deepEqual(await sameAdminPort.exited, [1, null])
    assert.match(
      sameAdminPort.stderr,
      new RegExp(` samsa.admin.listener=127.0.0.1:${samsa.port + 1} \\(process `),
    )
    assert.doesNotMatch(sameAdminPort.stderr, /listeners=/)
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
  const helps = [['--help'], ['help'], ['help', 'start'], ['start', '--help']].map((args) => new Samsa(args))
  for (const help of helps) {
    assert.deepEqual(await help.exited, [0, null])
    assert.match(help.stdout, /^ {2}-r, --run <command> /m)
    assert.match(help.stdout.replace(/\s+/g, ' '), /one argument, in quotes: --run "npm test"/)
    assert.equal(help.stderr, '')
  }
  for (const command of ['start', 'health', 'dump-log']) assert.ok(helps[0]?.stdout.includes(command))
  const ofOne = new Samsa(['help', 'health'])
  assert.deepEqual(await ofOne.exited, [0, null])
  assert.match(ofOne.stdout, /^Usage: samsa health \[options\] \[host:port\]/)
})

const RUN = `samsa: the command of --run must be one argument, in quotes: samsa --run "npm test"`

const empty = freshPath()

/** What cannot be meant, and what is said to it on standard error. */
const misused: readonly (readonly [readonly string[], string])[] = [
  [['--run'], RUN],
  [['--run', ''], RUN],
  [['--run', ' \t'], RUN],
  [['--run='], RUN],
  [['--run', 'npm', 'test'], RUN],
  [['start', '--run', 'npm', 'run', 'x', '--', '--watch'], RUN],
  [['--run', 'ls', '-la'], RUN],
  [['--run', 'npm', '--watch'], RUN],
  [
    ['--run', 'npm test', '--lgo-level', 'info'],
    `error: unknown option '--lgo-level'\n(Did you mean --log-level?)`,
  ],
  [['bogus'], `error: unknown command 'bogus'`],
  [['helth'], `error: unknown command 'helth'; did you mean health?`],
  [['start', 'a\u001B[31mb'], String.raw`error: unknown command 'a\u001b[31mb'`],
  [['--log-level', 'info', 'start'], 'error: the command stands before its options: samsa start ...'],
  [['help', 'dump'], `error: unknown command 'dump'; did you mean dump-log?`],
  [['help', 'a', 'b'], `error: too many arguments for 'help'. Expected 1 argument but got 2.`],
  [
    ['--config', 'a', '--config', 'b'],
    `error: option '-c, --config <file>' argument 'b' is invalid. It may be given once.`,
  ],
  [['--run', 'exit 1', '--run', 'true'], 'It may be given once.'],
  [['--nonsense'], `error: unknown option '--nonsense'`],
  [['--set'], `error: option '-s, --set <key=value>' argument missing`],
  [['--set', 'nonsense'], 'samsa: --set must be given key=value'],
  [['--set', '=x'], 'samsa: --set must be given key=value'],
  [['--config', ''], 'samsa: --config  cannot be read: ENOENT'],
  [
    ['--io', 'tape'],
    `error: option '--io <mode>' argument 'tape' is invalid. Allowed choices are auto, uring, threads.`,
  ],
  [['--log-level', 'loud'], `error: option '-l, --log-level <level>' argument 'loud' is invalid.`],
  [['health', '--nonsense'], `error: unknown option '--nonsense'`],
  [['health', 'localhost'], 'samsa: health=localhost: must be host:port'],
  [['health', ''], 'samsa: health: must be given host:port, for example 127.0.0.1:9092'],
  [['health', '-b', ''], 'samsa: --bootstrap-server: must be given host:port, for example 127.0.0.1:9092'],
  [['health', '-b', 'localhost:0'], 'samsa: --bootstrap-server: must be given host:port'],
  [['health', 'localhost:1', '-b', 'localhost:1'], 'samsa: health: give the address once'],
  [['health', 'a:1', 'b:2'], `error: too many arguments for 'health'. Expected 1 argument but got 2.`],
  [
    ['health', '--timeout', '0'],
    `error: option '-t, --timeout <ms>' argument '0' is invalid. It must be a whole`,
  ],
  [['dump-log'], `error: missing required argument 'files'`],
  [['dump-log', ''], `samsa: '' does not exist`],
  [['dump-log', empty], `samsa: ${empty}: there are no files of a log in this directory`],
  [['dump-log', '/etc/passwd'], 'samsa: /etc/passwd: not a file of a log'],
]

test('what cannot be meant gets a sentence on standard error and exit code 1', async () => {
  fs.mkdirSync(empty)
  for (const [args, sentence] of misused) {
    const samsa = new Samsa(args)
    assert.deepEqual(await samsa.exited, [1, null], args.join(' '))
    assert.equal(samsa.stdout, '', args.join(' '))
    assert.ok(samsa.stderr.includes(sentence), `${args.join(' ')}: ${samsa.stderr}`)
    assert.ok(samsa.stderr.trimEnd().split('\n').length <= 3, samsa.stderr)
  }
})
