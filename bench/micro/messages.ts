import { encoderFor } from '../../protocol/compile.ts'
import { writeRequestHeader } from '../../protocol/frame.ts'
import { ApiKey } from '../../protocol/keys.ts'
import { apiVersionsRequest } from '../../protocol/messages/18-api-versions.ts'
import { produceRequest } from '../../protocol/messages/00-produce.ts'
import { Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import type { Encodable, MessageSchema } from '../../protocol/schema.ts'
import type { Api } from '../../src/api/requests/handler.ts'
import { apis } from '../../src/api/table.ts'
import { decodeBody, decodeHeader, encodeResponse } from '../../src/server/codec.ts'
import { producedBatch } from './batches.ts'
import type { Case, Group } from './cases.ts'

const CORRELATION_ID = 7
const TOPIC_ID = 'AAAAAAAAQACAAAAAAAAAAQ'
const reader = new Reader(Buffer.alloc(0))
const writer = new Writer()

/** What a client sends, without the size in front. */
function frameOf<S extends MessageSchema>(schema: S, apiVersion: number, body: Encodable<S>): Buffer {
  const frame = new Writer()
  const header = { apiKey: schema.key, apiVersion, correlationId: CORRELATION_ID, clientId: 'samsa-bench' }
  writeRequestHeader(frame, header)
  encoderFor(schema, apiVersion)(frame, body)
  return frame.finishBuffer()
}

function served(apiKey: number): Api {
  const api = apis.get(apiKey)
  if (api === undefined) throw new Error(`API key ${apiKey} is not served`)
  return api
}

/** As the server does it for each request. */
function decoding(name: string, frame: Buffer): Case {
  return { name, run: () => decodeBody(decodeHeader(apis, reader, frame, 0, frame.length), reader) }
}

/** As the server does it for each answer. */
function encoding(name: string, apiKey: number, apiVersion: number, response: unknown): Case {
  const request = { api: served(apiKey), apiVersion, correlationId: CORRELATION_ID }
  return { name, run: () => encodeResponse(writer, request, response) }
}

function produceFrame(apiVersion: number, partitions: number, batchBytes: number): Buffer {
  const records = producedBatch(batchBytes, 1_700_000_000_000)
  const partitionData = Array.from({ length: partitions }, (_, index) => ({ index, records }))
  const topic = { name: 'orders', topicId: TOPIC_ID, partitionData }
  return frameOf(produceRequest, apiVersion, {
    transactionalId: null,
    acks: -1,
    timeoutMs: 30_000,
    topicData: [apiVersion >= 13 ? { ...topic, name: '' } : topic],
  })
}

function fetchAnswer(partitions: number, records: Buffer): unknown {
  const one = { errorCode: 0, highWatermark: 1_000_000, lastStableOffset: 1_000_000, logStartOffset: 0 }
  return {
    responses: [
      {
        topic: 'orders',
        topicId: TOPIC_ID,
        partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({
          ...one,
          partitionIndex,
          abortedTransactions: null,
          records: [records],
        })),
      },
    ],
  }
}

const apiVersionsAnswer = {
  errorCode: 0,
  apiKeys: [...apis.values()].map(({ key, minVersion, maxVersion }) => ({
    apiKey: key,
    minVersion,
    maxVersion,
  })),
}

/** Requests decoded and answers encoded by the compiled codecs, in an old version and in the newest served. */
export function messages(): Group[] {
  const batch = producedBatch(16_384, 1_700_000_000_000)
  const client = { clientSoftwareName: 'samsa-bench', clientSoftwareVersion: '1.0' }
  const produce = served(ApiKey.Produce).maxVersion
  const fetch = served(ApiKey.Fetch).maxVersion
  return [
    {
      title: 'requests, decoded',
      cases: [
        decoding('ApiVersions v4', frameOf(apiVersionsRequest, 4, client)),
        decoding('Produce v7, 1 partition, 1 KiB', produceFrame(7, 1, 1024)),
        decoding(`Produce v${produce}, 1 partition, 1 KiB`, produceFrame(produce, 1, 1024)),
        decoding(`Produce v${produce}, 1 partition, 128 KiB`, produceFrame(produce, 1, 131_072)),
        decoding(`Produce v${produce}, 100 partitions, 1 KiB each`, produceFrame(produce, 100, 1024)),
      ],
    },
    {
      title: 'answers, encoded',
      cases: [
        encoding('ApiVersions v4', ApiKey.ApiVersions, 4, apiVersionsAnswer),
        encoding('Fetch v11, 1 partition', ApiKey.Fetch, 11, fetchAnswer(1, batch)),
        encoding(`Fetch v${fetch}, 1 partition`, ApiKey.Fetch, fetch, fetchAnswer(1, batch)),
        encoding(`Fetch v${fetch}, 100 partitions`, ApiKey.Fetch, fetch, fetchAnswer(100, batch)),
      ],
    },
  ]
}
