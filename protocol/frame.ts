import { ApiKey, flexibleFrom } from './keys.ts'
import type { Reader } from './reader.ts'
import type { Writer } from './writer.ts'

/**
 * A frame is an int32 size, a header and a body. Which version the header has follows from the API and its version:
 * a request header is v1, or v2 (with a tag buffer) in a flexible version; a response header v0 or v1 likewise.
 *
 * The client id kept its two-byte length in v2: a broker must be able to read the header of a version it does not
 * know (KIP-482). The response header of ApiVersions is v0 always: a client must be able to read the answer of a
 * broker it does not know (KIP-511). ControlledShutdown v0 has a request header without a client id.
 */

/** Bytes of the size in front of a frame. */
export const SIZE_BYTES = 4

export interface RequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
}

/** Reads what follows the size. An unknown API key has no known header either: it is read as v1. */
export function readRequestHeader(reader: Reader): RequestHeader {
  const apiKey = reader.int16()
  const apiVersion = reader.int16()
  const correlationId = reader.int32()
  const clientId = hasClientId(apiKey, apiVersion) ? reader.nullableString() : null
  if (apiVersion >= flexibleFrom(apiKey)) reader.skipTaggedFields()
  return { apiKey, apiVersion, correlationId, clientId }
}

export function writeRequestHeader(writer: Writer, header: RequestHeader): void {
  writer.int16(header.apiKey)
  writer.int16(header.apiVersion)
  writer.int32(header.correlationId)
  if (hasClientId(header.apiKey, header.apiVersion)) writer.nullableString(header.clientId)
  if (header.apiVersion >= flexibleFrom(header.apiKey)) writer.uvarint(0)
}

/** Returns the correlation id. `apiKey` and `apiVersion` are those of the request. */
export function readResponseHeader(reader: Reader, apiKey: number, apiVersion: number): number {
  const correlationId = reader.int32()
  if (hasResponseTags(apiKey, apiVersion)) reader.skipTaggedFields()
  return correlationId
}

/** `apiKey` and `apiVersion` are those of the request. */
export function writeResponseHeader(
  writer: Writer,
  apiKey: number,
  apiVersion: number,
  correlationId: number,
): void {
  writer.int32(correlationId)
  if (hasResponseTags(apiKey, apiVersion)) writer.uvarint(0)
}

function hasClientId(apiKey: number, apiVersion: number): boolean {
  return apiKey !== ApiKey.ControlledShutdown || apiVersion > 0
}

function hasResponseTags(apiKey: number, apiVersion: number): boolean {
  return apiKey !== ApiKey.ApiVersions && apiVersion >= flexibleFrom(apiKey)
}
