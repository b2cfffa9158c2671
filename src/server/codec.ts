import { decoderFor, encoderFor, steppedDecoderFor, steppedEncoderFor } from '../../protocol/compile.ts'
import type { Steps } from '../../protocol/compile.ts'
import { holdsMoreThan } from '../../protocol/element-count.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { readRequestHeader, SIZE_BYTES, writeResponseHeader } from '../../protocol/frame.ts'
import { ApiKey, apiName } from '../../protocol/keys.ts'
import { apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { ProtocolError } from '../../protocol/protocol-error.ts'
import type { Reader } from '../../protocol/reader.ts'
import { Writer } from '../../protocol/writer.ts'
import type { External } from '../../protocol/writer.ts'
import type { Api } from '../api/requests/handler.ts'
import type { ReadPiece } from '../log/read/read-buffers.ts'
import type { LogFields } from '../ports.ts'

/** A frame of more bytes is decoded in steps: it may hold very many elements. */
const LONG_REQUEST_BYTES = 32 * 1024
/** An answer of more elements is encoded in steps. */
const LONG_ANSWER_ELEMENTS = 2_000

export interface RequestHeader {
  readonly api: Api
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  /** False: ApiVersions of a version that is not known, which is answered in v0 (KIP-511). */
  readonly isKnownVersion: boolean
}

/**
 * Decodes the header of [start, end) of a frame, size prefix excluded; the reader then stands at the body. Throws a ProtocolError for anything that is not a request
 * this broker serves: a client that sends such a thing is not told more, its connection is closed, as in Kafka.
 */
export function decodeHeader(
  apis: ReadonlyMap<number, Api>,
  reader: Reader,
  frame: Buffer,
  start: number,
  end: number,
): RequestHeader {
  const apiKey = frame.readInt16BE(start)
  const apiVersion = frame.readInt16BE(start + 2)
  const api = apis.get(apiKey)
  if (api === undefined) throw new ProtocolError(`API key ${apiKey} is not served`)
  if (apiVersion < api.minVersion || apiVersion > api.maxVersion) {
    if (apiKey !== ApiKey.ApiVersions) {
      throw new ProtocolError(`${apiName(apiKey)} v${apiVersion} is not served`)
    }
    return {
      api,
      apiVersion: 0,
      correlationId: frame.readInt32BE(start + 4),
      clientId: null,
      isKnownVersion: false,
    }
  }
  reader.reset(frame, start, end)
  const { correlationId, clientId } = readRequestHeader(reader)
  return { api, apiVersion, correlationId, clientId, isKnownVersion: true }
}

/** Key, version and correlation id: what the shortest request header holds. */
const MIN_REQUEST_BYTES = 8
/** A request without records has no reason to be larger (the largest are assignments of large groups). */
const MAX_PLAIN_REQUEST_BYTES = 16 * 1024 * 1024
/** As much as a hello takes, and more. */
export const MAX_HELLO_BYTES = 1_024

export function isOutOfRange(sizeBytes: number, maxBytes: number): boolean {
  return sizeBytes < MIN_REQUEST_BYTES || sizeBytes > maxBytes
}

export function isTooLarge(sizeBytes: number, apiKey: number): boolean {
  if (apiKey === ApiKey.BrokerHello) return sizeBytes > MAX_HELLO_BYTES
  return apiKey !== ApiKey.Produce && sizeBytes > MAX_PLAIN_REQUEST_BYTES
}

export function isLongRequest(frameBytes: number): boolean {
  return frameBytes > LONG_REQUEST_BYTES
}

/** Bytes behind the body are ignored, as in Kafka: librdkafka 2.16 sends three too many with Metadata v12. */
export function decodeBody({ api, apiVersion }: RequestHeader, reader: Reader): unknown {
  return decoderFor(api.request, apiVersion)(reader)
}

export function decodeBodyInSteps({ api, apiVersion }: RequestHeader, reader: Reader): Steps<unknown> {
  return steppedDecoderFor(api.request, apiVersion)(reader)
}

export function isLongAnswer(api: Api, response: unknown): boolean {
  return holdsMoreThan(LONG_ANSWER_ELEMENTS, api.response, response as object)
}

/** The frame of an answer. */
export function encodeResponse(writer: Writer, request: Answered, response: unknown): readonly ReadPiece[] {
  const { api, apiVersion } = request
  beginAnswer(writer, request)
  // `defineApi` ties the handler to this schema, so what it answered is what the schema encodes.
  encoderFor(api.response, apiVersion)(writer, response as never)
  return finishedAnswer(writer)
}

/** As `encodeResponse`, in steps, with a writer of its own. */
export function* encodeResponseInSteps(request: Answered, response: unknown): Steps<readonly ReadPiece[]> {
  const writer = new Writer()
  beginAnswer(writer, request)
  yield* steppedEncoderFor(request.api.response, request.apiVersion)(writer, response as never)
  return finishedAnswer(writer)
}

interface Answered {
  readonly api: Api
  readonly apiVersion: number
  readonly correlationId: number
}

function beginAnswer(writer: Writer, { api, apiVersion, correlationId }: Answered): void {
  writer.discard()
  writer.beginFrame()
  writeResponseHeader(writer, api.key, apiVersion, correlationId)
}

/** The writer takes anything with a length; what handlers put into records are pieces. */
function finishedAnswer(writer: Writer): readonly ReadPiece[] {
  return writer.finish() as readonly External[] as readonly ReadPiece[]
}

/** KIP-511: any client can read v0, and learns from it which versions of ApiVersions there are. */
export function encodeUnsupportedApiVersions(
  writer: Writer,
  api: Api,
  correlationId: number,
): readonly ReadPiece[] {
  const range = { apiKey: api.key, minVersion: api.minVersion, maxVersion: api.maxVersion }
  writer.discard()
  writer.beginFrame()
  writeResponseHeader(writer, api.key, 0, correlationId)
  encoderFor(apiVersionsResponse, 0)(writer, { errorCode: ErrorCode.UNSUPPORTED_VERSION, apiKeys: [range] })
  return [writer.finishBuffer()]
}

/** For log lines: what its first bytes say of a request. */
export function describeFrame(frame: Buffer, start: number): LogFields {
  if (frame.length < start + SIZE_BYTES + 4) return {}
  return {
    api: apiName(frame.readInt16BE(start + SIZE_BYTES)),
    version: frame.readInt16BE(start + SIZE_BYTES + 2),
  }
}
