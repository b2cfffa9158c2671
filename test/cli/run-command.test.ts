import assert from 'node:assert/strict'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { skipMissing } from '../support/requirements.ts'
import { terminalCommand } from '../support/terminal.ts'
import { executable, freshPath, Samsa } from './samsa-process.ts'
import { until } from '../support/until.ts'

const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`
const script = (source: string): string => `${process.execPath} -e ${quoted(source)}`

function freshDirectory(): string {
  const directory = freshPath()
  fs.mkdirSync(directory)
  return directory
}

/** What runs of this test left. Newer Node.js keeps its compiled code beside it. */
const leftIn = (directory: string): string[] =>
  fs.readdirSync(directory).filter((name) => name.startsWith('samsa'))

/** Whether a process runs. One that only waits to be forgotten does not. */
function runs(pid: number): boolean {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
  } catch {
    return false
  }
}

async function untilGone(pids: readonly number[], withinMs: number): Promise<void> {
  const until = Date.now() + withinMs
  while (pids.some(runs)) {
    assert.ok(Date.now() < until, `of ${pids.join(', ')} there are still ${pids.filter(runs).join(', ')}`)
    await sleep(20)
  }
}

/** Prints its pid, ignores the signals that ask, and lives for a quarter of an hour. */
const stubborn = script(`
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => {})
  setTimeout(() => {}, 900_000)
  console.log('pid', process.pid)
`)

/** As above, and detached from all that could reach it. */
const runaway = script(`
  const child = require('child_process').spawn('sleep', ['900'], { detached: true, stdio: 'ignore' })
  child.unref()
  console.log('pid', child.pid)
`)

async function pidsOf(samsa: Samsa, count: number): Promise<number[]> {
  const found = (): number[] =>
    Array.from(samsa.stdout.matchAll(/^pid (\d+)\r?$/gm), ([, pid]) => Number(pid))
  await until(() => found().length >= count)
  return found()
}

describe('samsa --run', () => {
  test('the command finds the broker, and its exit code is ours', async () => {
    const samsa = new Samsa([
      '--run',
      script(`
        const [host, port] = process.env.KAFKA_BROKERS.split(':')
        if (process.env.KAFKA_BOOTSTRAP_SERVERS !== process.env.KAFKA_BROKERS) process.exit(1)
        require('net').connect(port, host, () => { console.log('connected'); process.exit(7) })
      `),
    ])
    assert.deepEqual(await samsa.exited, [7, null], samsa.stderr)
    assert.equal(samsa.stdout, 'connected\n')
  })

  test('the directory is temporary, unless one is given', async () => {
    const kept = freshPath()
    const temporary = freshDirectory()
    const samsa = new Samsa(['--run', 'true', '--set', `log.dirs=${kept}`], { env: { TMPDIR: temporary } })
    assert.deepEqual(await samsa.exited, [0, null], samsa.stderr)
    assert.ok(fs.existsSync(path.join(kept, '.kafka_cleanshutdown')))
    const other = new Samsa(['--run', 'true'], { env: { TMPDIR: temporary } })
    assert.deepEqual(await other.exited, [0, null], other.stderr)
    assert.deepEqual(leftIn(temporary), [])
  })

  test('a signal that ends the command ends us the same way; one sent to us reaches it', async () => {
    const killed = new Samsa(['--run', script(`process.kill(process.pid, 'SIGKILL')`).replace(/^/, 'exec ')])
    assert.deepEqual(await killed.exited, [null, 'SIGKILL'], killed.stderr)
    const asked = new Samsa([
      '--run',
      `exec ${script(`process.on('SIGTERM', () => process.exit(5)); console.log('up'); setInterval(() => {}, 1000)`)}`,
    ])
    await asked.says('up')
    asked.child.kill('SIGTERM')
    assert.deepEqual(await asked.exited, [5, null], asked.stderr)
  })
})

describe('samsa --run --brokers', () => {
  test('the command finds a cluster, whatever its surroundings say of one broker', async () => {
    const temporary = freshDirectory()
    const environment = { TMPDIR: temporary, KAFKA_NODE_ID: '7', KAFKA_LISTENERS: 'PLAINTEXT://0.0.0.0:0' }
    const samsa = new Samsa(
      [
        '--run',
        script(`
          const { Kafka } = require(${JSON.stringify(createRequire(import.meta.url).resolve('kafkajs'))})
          const brokers = process.env.KAFKA_BROKERS.split(',')
          if (process.env.KAFKA_BOOTSTRAP_SERVERS !== process.env.KAFKA_BROKERS) process.exit(1)
          async function ask() {
            const admin = new Kafka({ brokers: [brokers[2]] }).admin()
            await admin.connect()
            await admin.createTopics({ topics: [{ topic: 't' }] })
            const found = await admin.describeCluster()
            const { topics } = await admin.fetchTopicMetadata({ topics: ['t'] })
            const addresses = found.brokers.map(({ host, port }) => host + ':' + port).sort()
            if (addresses.join() !== brokers.sort().join()) process.exit(2)
            console.log(found.brokers.map(({ nodeId }) => nodeId).sort().join(), topics[0].partitions[0].isr.length)
            process.exit(7)
          }
          ask()
        `),
        '--brokers',
        '3',
      ],
      { env: environment },
    )
    assert.deepEqual(await samsa.exited, [7, null], samsa.stderr)
    assert.equal(samsa.stdout, '1,2,3 3\n')
    assert.doesNotMatch(samsa.stderr, /"level":"(?:warn|error)"(?!.*environment)/)
    assert.deepEqual(leftIn(temporary), [])
  })

  test('one broker is no cluster, and numbers that cannot be are told', async () => {
    const one = new Samsa(['--run', 'echo $KAFKA_BROKERS', '--brokers', '1'])
    assert.deepEqual(await one.exited, [0, null], one.stderr)
    assert.match(one.stdout, /^127\.0\.0\.1:\d+\n$/)
    for (const wrong of ['0', '33', '-1', '2.5', 'many', '']) {
      const samsa = new Samsa(['--run', 'true', `--brokers=${wrong}`])
      assert.deepEqual(await samsa.exited, [1, null])
      assert.match(
        samsa.stderr,
        /'--brokers <count>' .* is invalid\. It must be a whole number from 1 to 32\./,
      )
    }
  })

  test('what goes with a single broker, or with none, is refused', async () => {
    const told = async (...given: string[]): Promise<string> => {
      const samsa = new Samsa(given)
      assert.deepEqual(await samsa.exited, [1, null])
      return samsa.stderr
    }
    assert.match(await told('--brokers', '3'), /^samsa: --brokers goes with --run: .*zookeeper\.connect\n$/)
    assert.equal(
      await told('--run', 'true', '--brokers', '3', '--set', 'log.dirs=/tmp/x'),
      'samsa: --set log.dirs: cannot be set for a whole cluster: each broker has a temporary directory of its own\n',
    )
    assert.equal(
      await told('--run', 'true', '--brokers', '2', '--set', 'default.replication.factor=3'),
      'samsa: default.replication.factor=3: must not be above the number of brokers, which is 2\n',
    )
  })
})

describe('the surroundings of samsa --run', () => {
  test('directories and listeners of the environment and of files belong to another broker', async () => {
    const real = freshPath()
    const environment = {
      KAFKA_LOG_DIRS: real,
      KAFKA_LOG_DIR: real,
      KAFKA_LISTENERS: 'OUTSIDE://0.0.0.0:0',
      KAFKA_ADVERTISED_LISTENERS: 'OUTSIDE://broker.example:9092',
      KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: 'OUTSIDE:PLAINTEXT',
      KAFKA_INTER_BROKER_LISTENER_NAME: 'OUTSIDE',
      KAFKA_CFG_SAMSA_ADMIN_LISTENER: '0.0.0.0:0',
      KAFKA_NUM_PARTITIONS: '7',
    }
    const file = freshPath()
    fs.writeFileSync(file, `listeners=PLAINTEXT://0.0.0.0:0\nlog.dirs=${real}\n`)
    const samsa = new Samsa(['--run', 'echo $KAFKA_BROKERS', '--config', file], { env: environment })
    assert.deepEqual(await samsa.exited, [0, null], samsa.stderr)
    assert.match(samsa.stdout, /^127\.0\.0\.1:\d+\n$/)
    assert.ok(!fs.existsSync(real), 'the real data directory was opened')
    assert.match(samsa.stderr, /not used for a temporary broker \(environment\): .*listeners/)
  })

  test('it listens on the loopback alone', { skip: !fs.existsSync('/proc/net/tcp') }, async () => {
    const samsa = new Samsa(['--run', 'echo $KAFKA_BROKERS; cat /proc/net/tcp'], {
      env: { KAFKA_LISTENERS: 'PLAINTEXT://0.0.0.0:0' },
    })
    assert.deepEqual(await samsa.exited, [0, null], samsa.stderr)
    const port = Number(/:(\d+)\n/.exec(samsa.stdout)?.[1])
    const hexadecimal = port.toString(16).toUpperCase().padStart(4, '0')
    assert.match(samsa.stdout, new RegExp(` 0100007F:${hexadecimal} 00000000:0000 0A `))
    assert.doesNotMatch(samsa.stdout, new RegExp(` 00000000:${hexadecimal} 00000000:0000 0A `))
  })
})

describe('nothing outlives samsa --run', { skip: process.platform !== 'linux', concurrency: 3 }, () => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    test(`${signal} reaches what runs under the shell`, async () => {
      const command = `sleep 900 & echo pid $!; ${script(`
        process.on('${signal}', () => { console.log('heard'); process.exit(5) })
        console.log('pid', process.pid)
        setTimeout(() => {}, 900_000)
      `)}; exit $?`
      const samsa = new Samsa(['--run', command])
      const pids = await pidsOf(samsa, 2)
      samsa.child.kill(signal)
      const [code, by] = await samsa.exited
      assert.ok(samsa.stdout.includes('heard'), samsa.stdout)
      assert.ok(code === 5 || by === signal, `${code} ${by}`)
      await untilGone(pids, 100)
    })
  }

  test('what does not end when it is asked to is killed', { timeout: 60_000 }, async () => {
    const temporary = freshDirectory()
    const samsa = new Samsa(['--run', `${stubborn} & ${stubborn}`], { env: { TMPDIR: temporary } })
    const pids = await pidsOf(samsa, 2)
    samsa.child.kill('SIGTERM')
    await samsa.exited
    await untilGone(pids, 100)
    assert.deepEqual(leftIn(temporary), [])
  })

  test('a second signal kills it at once', { timeout: 60_000 }, async () => {
    const temporary = freshDirectory()
    const samsa = new Samsa(['--run', stubborn], { env: { TMPDIR: temporary } })
    const pids = await pidsOf(samsa, 1)
    samsa.child.kill('SIGTERM')
    await sleep(50)
    samsa.child.kill('SIGINT')
    assert.deepEqual(await samsa.exited, [130, null])
    await untilGone(pids, 1_000)
    assert.deepEqual(leftIn(temporary), [])
  })

  test('what the command leaves behind ends with it, detached or not', async () => {
    const samsa = new Samsa(['--run', `sleep 900 & echo pid $!; ${runaway}; exit 3`])
    const pids = await pidsOf(samsa, 2)
    assert.deepEqual(await samsa.exited, [3, null], samsa.stderr)
    await untilGone(pids, 100)
  })

  test('kill -9 of samsa ends the rest, and the directory goes', { timeout: 60_000 }, async () => {
    const temporary = freshDirectory()
    const samsa = new Samsa(['--run', `${runaway}; ${stubborn}`], { env: { TMPDIR: temporary } })
    const pids = await pidsOf(samsa, 2)
    samsa.child.kill('SIGKILL')
    await untilGone(pids, 20_000)
    const until = Date.now() + 10_000
    while (leftIn(temporary).length > 0 && Date.now() < until) await sleep(20)
    assert.deepEqual(leftIn(temporary), [])
  })

  test('a run within a run', async () => {
    const inner = `${quoted(process.execPath)} ${quoted(executable)} --run ${quoted(`sleep 900 & echo pid $!; wait`)}`
    const samsa = new Samsa(['--run', `echo pid $$; ${inner}; echo over`])
    const pids = await pidsOf(samsa, 2)
    samsa.child.kill('SIGTERM')
    await samsa.exited
    await untilGone(pids, 1_000)
  })

  test('a signal while the broker starts leaves no directory', async () => {
    const temporary = freshDirectory()
    for (const afterMs of [40, 80, 110, 140]) {
      const samsa = new Samsa(['--run', 'sleep 900'], { env: { TMPDIR: temporary } })
      await sleep(afterMs)
      samsa.child.kill('SIGTERM')
      assert.deepEqual(await samsa.exited, [null, 'SIGTERM'])
      assert.deepEqual(leftIn(temporary), [])
    }
  })
})

describe('samsa --run on a terminal', () => {
  async function onTerminal(command: string): Promise<Samsa | null> {
    const terminal = await terminalCommand()
    if (terminal === null) return null
    const run = `env NO_COLOR=1 ${quoted(process.execPath)} ${quoted(executable)} --run ${quoted(command)}`
    return new Samsa([], { command: terminal(run) })
  }
  const missing = 'script(1) of util-linux, which makes terminals'

  test('the command reads from it, and job control is as without us', async (t) => {
    const samsa = await onTerminal(`echo ready; read answer </dev/tty; echo "got $answer"`)
    if (samsa === null) return skipMissing(t, missing)
    await samsa.says('ready')
    samsa.child.stdin?.write('hello\n')
    assert.deepEqual(await samsa.exited, [0, null], samsa.stdout)
    assert.ok(samsa.stdout.includes('got hello'), samsa.stdout)
  })

  test('Ctrl-C reaches the command once, and it decides what that means', async (t) => {
    const listener = script(`
      let heard = 0
      process.on('SIGINT', () => console.log('heard', ++heard))
      process.stdin.once('data', () => process.exit(10 + heard))
      console.log('ready')
    `)
    // The shell itself would end after the first.
    const samsa = await onTerminal(`exec ${listener}`)
    if (samsa === null) return skipMissing(t, missing)
    await samsa.says('ready')
    samsa.child.stdin?.write('\x03')
    await samsa.says('heard 1')
    await sleep(300)
    samsa.child.stdin?.write('\x03')
    await samsa.says('heard 2')
    await sleep(300)
    samsa.child.stdin?.write('\n')
    assert.deepEqual(await samsa.exited, [12, null], samsa.stdout)
  })

  test('SIGTERM reaches what runs under the shell there too', async (t) => {
    const samsa = await onTerminal(`echo samsa $PPID; sleep 900 & echo pid $!; ${runaway}; wait`)
    if (samsa === null) return skipMissing(t, missing)
    const pids = await pidsOf(samsa, 2)
    process.kill(Number(/samsa (\d+)/.exec(samsa.stdout)?.[1]), 'SIGTERM')
    await samsa.exited
    await untilGone(pids, 100)
  })
})
