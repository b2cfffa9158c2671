import { array, bool, int16, int32, int64, request, response, string } from '../schema.ts'
import type { Decoded } from '../schema.ts'

/**
 * What the broker speaks: the first thing every client asks.
 *
 * The response header is v0 in every version, because a client that does not know the broker must be able
 * to read it (KIP-511). v3: flexible; the client names itself (KIP-511), and features (KIP-584). v4:
 * features may have a minimum of 0 (KIP-1022).
 */

export const apiVersionsRequest = request({
  key: 18,
  name: 'ApiVersions',
  versions: [0, 4],
  flexibleFrom: 3,
  fields: {
    clientSoftwareName: string({ since: 3, ignorable: true }),
    clientSoftwareVersion: string({ since: 3, ignorable: true }),
  },
})

export type ApiVersionsRequest = Decoded<typeof apiVersionsRequest>

export const apiVersionsResponse = response({
  key: 18,
  name: 'ApiVersions',
  versions: [0, 4],
  flexibleFrom: 3,
  fields: {
    errorCode: int16(),
    apiKeys: array({ apiKey: int16(), minVersion: int16(), maxVersion: int16() }),
    throttleTimeMs: int32({ since: 1, default: 0, ignorable: true }),
    supportedFeatures: array(
      { name: string(), minVersion: int16(), maxVersion: int16() },
      { since: 3, tag: 0, ignorable: true },
    ),
    finalizedFeaturesEpoch: int64({ since: 3, default: -1, tag: 1, ignorable: true }),
    finalizedFeatures: array(
      { name: string(), maxVersionLevel: int16(), minVersionLevel: int16() },
      { since: 3, tag: 2, ignorable: true },
    ),
    zkMigrationReady: bool({ since: 3, default: false, tag: 3, ignorable: true }),
  },
})

export type ApiVersionsResponse = Decoded<typeof apiVersionsResponse>
