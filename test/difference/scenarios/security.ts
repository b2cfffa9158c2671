/** ACLs, quotas, users: what there is none of. */
import { AreaBuilder } from '../scenario.ts'

export const security = new AreaBuilder('security')

const pattern = (version: number): { [field: string]: number } =>
  version >= 1 ? { patternTypeFilter: 3 } : {}

security.addVersions('ACLs are described', 'DescribeAcls', (s, version) =>
  s.ask('DescribeAcls', version, {
    resourceTypeFilter: 1,
    ...pattern(version),
    operation: 1,
    permissionType: 1,
  }),
)
for (const [what, given] of Object.entries({
  'an unknown resource type': { resourceTypeFilter: 0 },
  'a resource type that nobody has': { resourceTypeFilter: 99 },
  'an unknown operation': { operation: 0 },
  'an unknown permission': { permissionType: 0 },
  'an unknown pattern': { patternTypeFilter: 0 },
}))
  security.add(`ACLs of ${what} are described`, (s) =>
    s.ask('DescribeAcls', 3, {
      resourceTypeFilter: 2,
      patternTypeFilter: 3,
      operation: 1,
      permissionType: 1,
      ...given,
    }),
  )

security.addVersions('ACLs are made', 'CreateAcls', async (s, version) => {
  const acl = {
    resourceType: 2,
    resourceName: s.name('t'),
    principal: 'User:a',
    host: '*',
    operation: 3,
    permissionType: 3,
  }
  await s.ask('CreateAcls', version, { creations: [acl, { ...acl, principal: 'nonsense' }] })
  await s.ask('CreateAcls', version, { creations: [] })
})

security.addVersions('ACLs are deleted', 'DeleteAcls', async (s, version) => {
  const filter = { resourceTypeFilter: 2, ...pattern(version), operation: 1, permissionType: 1 }
  await s.ask('DeleteAcls', version, { filters: [filter, filter] })
  await s.ask('DeleteAcls', version, { filters: [] })
})

security.addVersions('quotas are described', 'DescribeClientQuotas', async (s, version) => {
  await s.ask('DescribeClientQuotas', version, { components: [] })
  await s.ask('DescribeClientQuotas', version, {
    components: [{ entityType: 'client-id', matchType: 0, match: s.name('c') }],
    strict: true,
  })
  await s.ask('DescribeClientQuotas', version, {
    components: [{ entityType: 'user', matchType: 1, match: null }],
  })
  await s.ask('DescribeClientQuotas', version, {
    components: [{ entityType: 'nonsense', matchType: 2, match: null }],
  })
  await s.ask(
    'DescribeClientQuotas',
    version,
    { components: [{ entityType: 'user', matchType: 9, match: null }] },
    { on: 'second' },
  )
  const user = { entityType: 'user', matchType: 2, match: null }
  await s.ask('DescribeClientQuotas', version, { components: [user, user] }, { on: 'third' })
})

const FILTERS: Readonly<
  Record<string, readonly (readonly [type: string, match: number, name: string | null])[]>
> = {
  'an empty type': [['', 2, null]],
  'an exact match of nothing': [['user', 0, null]],
  'an exact match of an empty name': [['user', 0, '']],
  'a default with a name': [['client-id', 1, 'a']],
  'any with a name': [['client-id', 2, 'a']],
  'a user and a client': [
    ['user', 2, null],
    ['client-id', 2, null],
  ],
  'an address': [['ip', 0, '127.0.0.1']],
  'something that is no address': [['ip', 0, 'nonsense']],
  'an address and a user': [
    ['ip', 2, null],
    ['user', 2, null],
  ],
  'a client and an address': [
    ['client-id', 2, null],
    ['ip', 1, null],
  ],
  'an unknown type with an unknown match': [['nonsense', 9, null]],
}
for (const [what, filter] of Object.entries(FILTERS))
  security.add(`quotas of ${what} are described`, (s) =>
    s.ask('DescribeClientQuotas', 1, {
      components: filter.map(([entityType, matchType, match]) => ({ entityType, matchType, match })),
    }),
  )

security.add('users are described', async (s) => {
  await s.ask('DescribeUserScramCredentials', 0, { users: null })
  await s.ask('DescribeUserScramCredentials', 0, { users: [] })
  await s.ask('DescribeUserScramCredentials', 0, { users: [{ name: 'a' }, { name: '' }] })
  await s.ask('DescribeUserScramCredentials', 0, { users: [{ name: 'a' }, { name: 'a' }] })
})

security.addVersions('who speaks SASL without being asked', 'SaslHandshake', async (s, version) => {
  await s.ask('SaslHandshake', version, { mechanism: 'PLAIN' })
  await s.ask('SaslHandshake', version, { mechanism: '' })
  await s.ask('ApiVersions', 0, {}, { without: ['apiKeys'] })
})

security.addVersions('who shows a password without being asked', 'SaslAuthenticate', async (s, version) => {
  await s.ask('SaslAuthenticate', version, { authBytes: Buffer.from('\0user\0password') })
  await s.ask('ApiVersions', 0, {}, { without: ['apiKeys'] })
})
