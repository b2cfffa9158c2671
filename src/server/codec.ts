import { decoderFor, encoderFor } from '../../protocol/compile.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { readRequestHeader, writeResponseHeader } from '../../protocol/frame.ts'
import { ApiKey, apiName } from '../../protocol/keys.ts'
import { apiVersionsResponse } from '../../protocol/messages/18-api-versions.ts'
import { ProtocolError } from '../../protocol/protocol-error.ts'
import type { Reader } from '../../protocol/reader.ts'
import type { External, Writer } from '../../protocol/writer.ts'
import type { Api } from '../api/handler.ts'
import type { ReadPiece } from '../log/read/read-buffers.ts'

/** In place of a body: an ApiVersions request of a version that is not known, which is answered in v0 (KIP-511). */
export const UNSUPPORTED_VERSION = Symbol('unsupported version')

export interface DecodedRequest {
  readonly api: Api
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  readonly body: unknown
}

/**
 * Decodes [start, end) of a frame, size prefix excluded. Throws a ProtocolError for anything that is not a request
 * this broker serves: a client that sends such a thing is not told more, its connection is closed, as in Kafka.
 * Bytes behind the body are ignored, as in Kafka: librdkafka 2.16 sends three too many with Metadata v12.
 */
export function decodeRequest(
  apis: ReadonlyMap<number, Api>,
  reader: Reader,
  frame: Buffer,
  start: number,
  end: number,
): DecodedRequest {
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
      body: UNSUPPORTED_VERSION,
    }
  }
  reader.reset(frame, start, end)
  const { correlationId, clientId } = readRequestHeader(reader)
  const body: unknown = decoderFor(api.request, apiVersion)(reader)
  return { api, apiVersion, correlationId, clientId, body }
}

/** The frame of an answer. */
export function encodeResponse(
  writer: Writer,
  request: { readonly api: Api; readonly apiVersion: number; readonly correlationId: number },
  response: unknown,
): readonly ReadPiece[] {
  const { api, apiVersion, correlationId } = request
  writer.discard()
  writer.beginFrame()
  writeResponseHeader(writer, api.key, apiVersion, correlationId)
  // `defineApi` ties the handler to this schema, so what it answered is what the schema encodes.
  encoderFor(api.response, apiVersion)(writer, response as never)
  // The writer takes anything with a length; what handlers put into records are pieces.
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
