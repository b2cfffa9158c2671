import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ErrorCode } from '../../protocol/errors.ts'
import { heartbeat } from '../../src/api/12-heartbeat.ts'
import { joinGroup } from '../../src/api/11-join-group.ts'
import { GroupApis, versionsOf } from './group-api-fixture.ts'

test('every version; static members from v3 on', async () => {
  const apis = await GroupApis.start()
  const joining = apis.send(joinGroup, 5, {
    groupId: 'g',
    memberId: '',
    groupInstanceId: 'i',
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    protocolType: 'connect',
    protocols: [{ name: 'p', metadata: Buffer.alloc(0) }],
  })
  apis.clock.advance(3_000)
  const { memberId, generationId } = joining[0]!
  for (const version of versionsOf(heartbeat)) {
    const send = async (body: Record<string, unknown>) =>
      (await apis.call(heartbeat, version, { groupId: 'g', memberId, generationId, ...body }))['errorCode']
    assert.equal(await send({}), ErrorCode.NONE)
    assert.equal(await send({ generationId: 9 }), ErrorCode.ILLEGAL_GENERATION)
    assert.equal(await send({ groupId: '' }), ErrorCode.INVALID_GROUP_ID)
    if (version < 3) continue
    assert.equal(await send({ groupInstanceId: 'i' }), ErrorCode.NONE)
    assert.equal(await send({ groupInstanceId: 'i', memberId: 'old' }), ErrorCode.FENCED_INSTANCE_ID)
  }
})
