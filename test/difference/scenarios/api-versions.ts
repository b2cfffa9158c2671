/** Which APIs there are, and what becomes of requests for others. */
import { flexibleFrom } from '../../../protocol/keys.ts'
import { Writer } from '../../../protocol/writer.ts'
import { AreaBuilder } from '../scenario.ts'

export const apiVersions = new AreaBuilder('api-versions')

apiVersions.addVersions('asked', 'ApiVersions', (s, version) =>
  s.ask('ApiVersions', version, { clientSoftwareName: 'test', clientSoftwareVersion: '1.0' }),
)

const NAMES: Readonly<Record<string, readonly [name: string, version: string]>> = {
  'no name': ['', '1.0'],
  'no version': ['test', ''],
  'a name with a blank': ['a b', '1.0'],
  'a name that ends in a hyphen': ['test-', '1.0'],
  'a name that begins with a dot': ['.test', '1.0'],
  'a name of one letter': ['a', '1'],
  'a version with an underscore': ['test', '1_0'],
  'a version with dots and hyphens': ['a.b-c', '1.0-rc.1'],
}
for (const [what, [clientSoftwareName, clientSoftwareVersion]] of Object.entries(NAMES))
  apiVersions.add(`the software has ${what}`, (s) =>
    s.ask('ApiVersions', 3, { clientSoftwareName, clientSoftwareVersion }),
  )

/** The head of a request and some bytes. */
function frame(apiKey: number, version: number, body = Buffer.alloc(0)): Buffer {
  const writer = new Writer()
  writer.int16(apiKey)
  writer.int16(version)
  writer.int32(1)
  writer.nullableString('raw')
  if (version >= flexibleFrom(apiKey)) writer.uvarint(0)
  writer.raw(body)
  return writer.finishBuffer()
}

const FRAMES: Readonly<Record<string, Buffer>> = {
  'an API key that nobody has': frame(999, 0),
  'a negative API key': frame(-1, 0),
  'Metadata of a version to come': frame(3, 99),
  'Metadata of a negative version': frame(3, -1),
  'Fetch 3, which Kafka 4 dropped': frame(1, 3, Buffer.alloc(32)),
  'ListOffsets 0, which Kafka 4 dropped': frame(2, 0, Buffer.alloc(8)),
  'JoinGroup of a version to come': frame(11, 99),
  'ControlledShutdown, which is for brokers': frame(7, 3, Buffer.alloc(16)),
  'Metadata without a body': frame(3, 1),
  'Metadata that ends in its array': frame(3, 1, Buffer.from('000000010005', 'hex')),
  'an array of a negative length': frame(3, 1, Buffer.from('fffffffe', 'hex')),
  'an array longer than the request': frame(3, 1, Buffer.from('7fffffff', 'hex')),
  'a frame of two bytes': Buffer.from([0, 3]),
  'a client id longer than the frame': Buffer.from('0003000100000001007f61', 'hex'),
}
for (const [what, bytes] of Object.entries(FRAMES))
  apiVersions.add(`a request: ${what}`, (s) => s.askFrame(what, bytes))

apiVersions.add('an empty frame', async (s) => s.askFrame('nothing', Buffer.alloc(0)))

apiVersions.add('bytes behind the request', async (s) => {
  await s.ask('Metadata', 1, {}, { rawBody: Buffer.from('00000000ff', 'hex') })
  await s.ask(
    'Heartbeat',
    0,
    {},
    { rawBody: Buffer.from('000167000000010001 6d00'.replaceAll(' ', ''), 'hex') },
  )
})

apiVersions.add('a name that is null though it may not be', async (s) => {
  await s.ask('Metadata', 4, { topics: [{ name: null }] })
  await s.ask('FindCoordinator', 0, { key: null }, { on: 'second' })
  await s.ask('Heartbeat', 4, { groupId: null, generationId: 1, memberId: 'm' }, { on: 'third' })
})

apiVersions.add('a tag that nobody knows', async (s) => {
  // No topics, no automatic creation, no operations, and tag 100 of two bytes.
  await s.ask('Metadata', 11, {}, { rawBody: Buffer.from('0100000001640261 62'.replaceAll(' ', ''), 'hex') })
})
