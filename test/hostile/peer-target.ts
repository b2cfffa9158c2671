/**
 * Three brokers in a process of their own, and who connects to them in the name of one of them. Under which epoch that is
 * registered nobody says, but in a store that has just been made it is one of the first numbers.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { ErrorCode } from '../../protocol/errors.ts'
import { fetchRequest } from '../../protocol/messages/01-fetch.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import { produceRequest, produceResponse } from '../../protocol/messages/00-produce.ts'
import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { brokerHelloRequest, brokerHelloResponse } from '../../protocol/messages/1002-broker-hello.ts'
import { adopt, end, repositoryRoot } from '../support/processes.ts'
import { RawClient } from '../support/raw-client.ts'
import { until } from '../support/until.ts'
import { Attacker, requestFrame } from './attacker.ts'
import { residentBytes, within } from './target.ts'

const hello = { request: brokerHelloRequest, response: brokerHelloResponse, version: 0 } as const
const metadata = { request: metadataRequest, response: metadataResponse, version: 12 } as const
const createTopics = { request: createTopicsRequest, response: createTopicsResponse, version: 7 } as const
const produce = { request: produceRequest, response: produceResponse, version: 11 } as const

const HIGHEST_EPOCH = 1_000

/** Of topic t, the one partition. */
interface Led {
  readonly topicId: string
  readonly leaderPort: number
  /** Any other broker. */
  readonly followerId: number
}

export class PeerTarget implements AsyncDisposable {
  readonly pid: number
  readonly led: Led
  readonly #clusterId: string
  readonly #epoch: number
  readonly #end: () => Promise<void>

  private constructor(pid: number, led: Led, clusterId: string, epoch: number, stop: () => Promise<void>) {
    this.pid = pid
    this.led = led
    this.#clusterId = clusterId
    this.#epoch = epoch
    this.#end = stop
  }

  static async start(properties: Readonly<Record<string, string>> = {}): Promise<PeerTarget> {
    const main = join(repositoryRoot, 'dist/src/cli/main.js')
    const settings = Object.entries(properties).flatMap(([key, value]) => ['--set', `${key}=${value}`])
    const command = 'echo $KAFKA_BROKERS; exec sleep 600'
    const child = adopt(
      spawn(process.execPath, [main, '--run', command, '--brokers', '3', ...settings], {
        stdio: ['ignore', 'pipe', 'inherit'],
      }),
    )
    const stop = async (): Promise<void> => void (await end(child, 'SIGTERM'))
    try {
      const [said] = (await within(once(child.stdout!, 'data'))) as [Buffer]
      const port = Number(/^127\.0\.0\.1:(\d+),/.exec(said.toString())![1])
      const led = await makeTopic(port)
      const client = await RawClient.connect(port)
      const { clusterId } = await client.send(metadata, { topics: [], allowAutoTopicCreation: false })
      client.close()
      const epoch = await findEpoch(led, clusterId!)
      return new PeerTarget(child.pid!, led, clusterId!, epoch, stop)
    } catch (error) {
      await stop()
      throw error
    }
  }

  get residentBytes(): number {
    return residentBytes(this.pid)
  }

  /** Says hello to the leader in the name of a follower, which itself is at 127.0.0.1. */
  async pretender(host = '127.0.0.2'): Promise<Attacker> {
    const attacker = await Attacker.connect(this.led.leaderPort, host)
    const { followerId: brokerId } = this.led
    const body = { clusterId: this.#clusterId, brokerId, brokerEpoch: this.#epoch }
    attacker.write(requestFrame(brokerHelloRequest, 0, body))
    const [answer] = await attacker.answers(1)
    assert.equal(answer!.readInt16BE(5), ErrorCode.NONE)
    return attacker
  }

  /** As the follower would fetch everything from the beginning, as much as there is. */
  get fetchFrame(): Buffer {
    const { topicId, followerId } = this.led
    const maxBytes = 2 ** 31 - 1
    const all = {
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
      logStartOffset: 0,
      partitionMaxBytes: maxBytes,
    }
    return requestFrame(fetchRequest, 17, {
      replicaState: { replicaId: followerId, replicaEpoch: this.#epoch },
      maxWaitMs: 0,
      minBytes: 0,
      maxBytes,
      topics: [{ topicId, partitions: [{ partition: 0, fetchOffset: 0, ...all }] }],
    })
  }

  /** An acks=all Produce to the leader is answered, so its followers fetch. */
  async commits(records: Buffer): Promise<void> {
    const client = await RawClient.connect(this.led.leaderPort)
    try {
      const topicData = [{ name: 't', partitionData: [{ index: 0, records }] }]
      const { responses } = await within(client.send(produce, { acks: -1, timeoutMs: 20_000, topicData }))
      assert.equal(responses[0]!.partitionResponses[0]!.errorCode, ErrorCode.NONE)
    } finally {
      client.close()
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end()
  }
}

async function makeTopic(port: number): Promise<Led> {
  const client = await RawClient.connect(port)
  const topic = { name: 't', numPartitions: 1, replicationFactor: 3, assignments: [], configs: [] }
  await within(client.send(createTopics, { topics: [topic], timeoutMs: 5_000 }))
  const asked = { topics: [{ name: 't' }], allowAutoTopicCreation: false }
  let led: Led | null = null
  await until(async () => {
    const { topics, brokers } = await within(client.send(metadata, asked))
    const [partition] = topics[0]!.partitions
    const leader = brokers.find(({ nodeId }) => nodeId === partition?.leaderId)
    if (leader === undefined || partition?.isrNodes.length !== 3) return false
    const followerId = partition.replicaNodes.find((id) => id !== leader.nodeId)!
    led = { topicId: topics[0]!.topicId, leaderPort: leader.port, followerId }
    return true
  })
  client.close()
  return led!
}

async function findEpoch({ leaderPort, followerId: brokerId }: Led, clusterId: string): Promise<number> {
  for (let brokerEpoch = 1; brokerEpoch <= HIGHEST_EPOCH; brokerEpoch++) {
    const client = await RawClient.connect(leaderPort)
    const { errorCode } = await within(client.send(hello, { clusterId, brokerId, brokerEpoch }))
    client.close()
    if (errorCode === ErrorCode.NONE) return brokerEpoch
  }
  assert.fail(`the epoch of broker ${brokerId} is above ${HIGHEST_EPOCH}`)
}
