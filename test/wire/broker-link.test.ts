import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { readRequestHeader, SIZE_BYTES, writeResponseHeader } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import { apiVersionsRequest, apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import type { Address } from '../../src/ports.ts'
import { BrokerLink } from '../../src/wire/broker-link.ts'
import { LinkError } from '../../src/wire/link-error.ts'
import type { LinkFailure } from '../../src/wire/link-error.ts'
import { SimBroker } from '../api/sim-broker.ts'
import type { SimMachine, SimProcess } from '../simulator/sim-machine.ts'
import { seedsFromEnvironment } from '../simulator/sim-random.ts'
import { SimWorld } from '../simulator/sim-world.ts'

const PORT = 9092

const apiVersions = { request: apiVersionsRequest, response: apiVersionsResponse, version: 3 } as const
const metadata = { request: metadataRequest, response: metadataResponse, version: 12 } as const
const who = { clientSoftwareName: 'test', clientSoftwareVersion: '1' }

function linkFrom({ world }: SimProcess, address: Address): BrokerLink {
  return new BrokerLink(world, {
    address,
    clientId: 'test',
    requestTimeoutMs: 1_000,
    maxResponseBytes: 1 << 20,
  })
}

function fails(answer: Promise<unknown>, failure: LinkFailure): Promise<void> {
  return assert.rejects(answer, (error) => error instanceof LinkError && error.failure === failure)
}

/** What a broker that is none makes of each request: the bytes it sends back. */
type Answerer = (correlationId: number, count: number) => Buffer

/** An answer as it should be, to ApiVersions v3. */
function answerOf(correlationId: number): Buffer {
  const writer = new Writer(256)
  writer.beginFrame()
  writeResponseHeader(writer, ApiKey.ApiVersions, 3, correlationId)
  encoderFor(apiVersionsResponse, 3)(writer, { errorCode: 0, apiKeys: [] })
  return writer.finishBuffer()
}

async function listen(machine: SimMachine, answer: Answerer): Promise<void> {
  await machine.start().world.network.listen({ host: machine.host, port: PORT }, (connection) => {
    let received = Buffer.alloc(0)
    let count = 0
    return {
      bytes: (slab, start, end) => {
        received = Buffer.concat([received, slab.subarray(start, end)])
        while (received.length >= SIZE_BYTES && received.length >= SIZE_BYTES + received.readInt32BE(0)) {
          const stop = SIZE_BYTES + received.readInt32BE(0)
          const reader = new Reader(received.subarray(SIZE_BYTES, stop))
          const { correlationId } = readRequestHeader(reader)
          assert.equal(decoderFor(apiVersionsRequest, 3)(reader).clientSoftwareName, 'test')
          received = received.subarray(stop)
          connection.write([answer(correlationId, count++)])
        }
      },
      drained: () => {},
      failed: (error) => {
        throw error
      },
      closed: () => {},
    }
  })
}

/** A link of one machine to what listens on another, in a world of its own. */
async function world(
  answer: Answerer,
  body: (link: BrokerLink, sim: SimWorld) => Promise<void>,
): Promise<void> {
  for (const seed of seedsFromEnvironment(1, 5)) {
    const sim = new SimWorld(seed)
    const [one, two] = [sim.addMachine(), sim.addMachine()]
    await sim.run(async () => {
      await listen(one, answer)
      await body(linkFrom(two.start(), { host: one.host, port: PORT }), sim)
    })
  }
}

test('a broker answers what is asked in a pipeline, under connections that are reset at any byte', async () => {
  const outcomes = { answered: 0, lost: 0 }
  for (const seed of seedsFromEnvironment(1, 20)) {
    const sim = new SimWorld(seed)
    const machine = sim.addMachine()
    await sim.run(async () => {
      const broker = await SimBroker.start(sim, {})
      const process = machine.start()
      const newLink = () => linkFrom(process, { host: '127.0.0.1', port: PORT })
      const ask = async (link: BrokerLink): Promise<void> => {
        const [versions, cluster, again] = await Promise.all([
          link.send(apiVersions, who),
          link.send(metadata, { topics: null }),
          link.send(apiVersions, who),
        ])
        assert.equal(versions.errorCode, ErrorCode.NONE)
        assert.equal(cluster.brokers[0]?.port, PORT)
        assert.deepEqual(again, versions)
      }
      sim.fabric.resetChance = 0.03
      let link = newLink()
      for (let times = 0; times < 20; times++) {
        try {
          await ask(link)
          outcomes.answered++
        } catch (error) {
          assert(error instanceof LinkError && error.failure === 'closed', String(error))
          assert.equal(link.failure, error)
          await fails(link.send(apiVersions, who), 'closed')
          outcomes.lost++
          link = newLink()
        }
      }
      sim.fabric.resetChance = 0
      link.close()
      link = newLink()
      await ask(link)
      link.close()
      await broker.stop()
    })
  }
  assert.ok(outcomes.answered > 100 && outcomes.lost > 20, JSON.stringify(outcomes))
})

test('what is no answer to what was asked fails all that wait', async () => {
  const wrong: Record<string, Answerer> = {
    'of another request': (id) => answerOf(id + 1),
    'no frame': () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    'with bytes behind it': (id) => {
      const answer = Buffer.concat([answerOf(id), Buffer.from('more')])
      answer.writeInt32BE(answer.length - SIZE_BYTES)
      return answer
    },
    'cut short': (id) => {
      const answer = answerOf(id).subarray(0, 12)
      answer.writeInt32BE(answer.length - SIZE_BYTES)
      return answer
    },
    'given twice': (id) => Buffer.concat([answerOf(id), answerOf(id), answerOf(id)]),
  }
  for (const [name, answer] of Object.entries(wrong))
    await world(answer, async (link) => {
      const answers = Promise.allSettled([link.send(apiVersions, who), link.send(apiVersions, who)])
      const last = (await answers).at(-1)!
      assert.equal(last.status, 'rejected', name)
      assert.equal((last.reason as LinkError).failure, 'nonsense', name)
      await fails(link.send(apiVersions, who), 'nonsense')
    })
})

test('an answer that does not come in time fails it and all behind it; those before it came', async () => {
  const silent = Buffer.alloc(0)
  const answer: Answerer = (id, count) => (count < 2 ? answerOf(id) : silent)
  await world(answer, async (link, sim) => {
    const beganMs = sim.scheduler.nowMs
    await link.send(apiVersions, who)
    await sim.sleep(400)
    const second = link.send(apiVersions, who)
    const third = link.send(apiVersions, who)
    await sim.sleep(300)
    const fourth = link.send(apiVersions, who)
    await second
    await Promise.all([fails(third, 'timeout'), fails(fourth, 'timeout')])
    const tookMs = sim.scheduler.nowMs - beganMs
    assert.ok(tookMs >= 1_400 && tookMs < 1_500, `of the oldest: ${tookMs}`)
  })
})

test('a request that has no bytes throws, and leaves nothing of itself to the next one', async () => {
  const sim = new SimWorld(1)
  const machine = sim.addMachine()
  await sim.run(async () => {
    const broker = await SimBroker.start(sim, {})
    const link = linkFrom(machine.start(), { host: '127.0.0.1', port: PORT })
    for (let times = 0; times < 3; times++) {
      const { errorCode } = await link.send(apiVersions, who)
      assert.equal(errorCode, ErrorCode.NONE)
      assert.throws(() => void link.send(apiVersions, { ...who, clientSoftwareName: 'x'.repeat(40_000) }))
    }
    link.close()
    await broker.stop()
  })
})

test('nobody there, nobody of that name, nobody who answers, and closed by ourselves', async () => {
  for (const seed of seedsFromEnvironment(1, 5)) {
    const sim = new SimWorld(seed)
    const [one, two] = [sim.addMachine(), sim.addMachine()]
    await sim.run(async () => {
      const address = { host: one.host, port: PORT }
      await fails(linkFrom(two.start(), address).send(apiVersions, who), 'refused')
      await fails(linkFrom(two.start(), { ...address, host: 'nobody' }).send(apiVersions, who), 'unreachable')
      await listen(one, (id) => answerOf(id))
      sim.fabric.cut(two, one)
      await fails(linkFrom(two.start(), address).send(apiVersions, who), 'timeout')
      sim.fabric.heal(two, one)
      const link = linkFrom(two.start(), address)
      const waiting = link.send(apiVersions, who)
      link.close()
      await fails(waiting, 'closed')
    })
  }
})
