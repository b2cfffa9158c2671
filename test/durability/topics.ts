import { createTopicsRequest, createTopicsResponse } from '../../protocol/messages/19-create-topics.ts'
import { deleteTopicsRequest, deleteTopicsResponse } from '../../protocol/messages/20-delete-topics.ts'
import { metadataRequest, metadataResponse } from '../../protocol/messages/03-metadata.ts'
import { errorName } from '../../protocol/errors.ts'
import { RawClient } from '../support/raw-client.ts'

const createCall = { request: createTopicsRequest, response: createTopicsResponse, version: 4 }
const deleteCall = { request: deleteTopicsRequest, response: deleteTopicsResponse, version: 3 }
const metadataCall = { request: metadataRequest, response: metadataResponse, version: 1 }

const TIMEOUT_MS = 30_000

export async function createTopic(
  port: number,
  name: string,
  numPartitions: number,
  configs: Readonly<Record<string, string>> = {},
): Promise<void> {
  const client = await RawClient.connect(port)
  try {
    await create(client, name, numPartitions, configs)
  } finally {
    client.close()
  }
}

async function create(
  client: RawClient,
  name: string,
  numPartitions: number,
  configs: Readonly<Record<string, string>>,
): Promise<void> {
  const { topics } = await client.send(createCall, {
    topics: [
      {
        name,
        numPartitions,
        replicationFactor: 1,
        assignments: [],
        configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
      },
    ],
    timeoutMs: TIMEOUT_MS,
  })
  const { errorCode = -1, errorMessage = '' } = topics[0] ?? {}
  if (errorCode !== 0) throw new Error(`CreateTopics of ${name}: ${errorName(errorCode)} ${errorMessage}`)
}

/** Topics that come and go: what was answered of them holds over any crash, whatever the flush mode. */
export class TopicLedger {
  readonly #existing = new Set<string>()
  readonly #deleted = new Set<string>()
  #counter = 0

  /** Creates and deletes topics until the connection dies or `stop` says so. */
  async run(port: number, stop: () => boolean): Promise<void> {
    const client = await RawClient.connect(port)
    try {
      while (!stop() && !client.closed) await this.#change(client)
    } catch (error) {
      // Unanswered: whether the last change happened nobody knows, and it is in neither of the sets.
      if (!client.closed) throw error
    } finally {
      client.close()
    }
  }

  /** Broken promises, in words. */
  async problems(port: number): Promise<string[]> {
    const client = await RawClient.connect(port)
    try {
      const { topics } = await client.send(metadataCall, { topics: null })
      const found = new Set(topics.map(({ name }) => name))
      return [
        ...[...this.#existing].filter((name) => !found.has(name)).map((name) => `topic ${name} is gone`),
        ...[...this.#deleted]
          .filter((name) => found.has(name))
          .map((name) => `topic ${name} was deleted and is back`),
      ]
    } finally {
      client.close()
    }
  }

  async #change(client: RawClient): Promise<void> {
    const [oldest] = this.#existing
    if (oldest === undefined || this.#existing.size < 3) {
      const name = `passing-${this.#counter++}`
      await create(client, name, 1, {})
      this.#existing.add(name)
      return
    }
    this.#existing.delete(oldest)
    const { responses } = await client.send(deleteCall, { topicNames: [oldest], timeoutMs: TIMEOUT_MS })
    if (responses[0]?.errorCode !== 0)
      throw new Error(`DeleteTopics of ${oldest}: ${responses[0]?.errorCode}`)
    this.#deleted.add(oldest)
  }
}
