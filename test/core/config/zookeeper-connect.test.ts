import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import { parseZooKeeperConnect } from '../../../src/core/config/zookeeper-connect.ts'

function parse(values: Record<string, string>) {
  return parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', values: new Map(Object.entries(values)) }])
}

describe('zookeeper.connect', () => {
  it('names servers, with the port of ZooKeeper where there is none, and a chroot', () => {
    const read = (text: string): string => {
      const { servers, chroot } = parseZooKeeperConnect(text)!
      return `${servers.join(' ')} ${chroot}`
    }
    assert.equal(read('zk'), 'zk:2181 ')
    assert.equal(read('zk:1'), 'zk:1 ')
    assert.equal(read('zk:65535/'), 'zk:65535 ')
    assert.equal(read('a:1, b ,[::1]:3/kafka'), 'a:1 b:2181 ::1:3 /kafka')
    assert.equal(read('[fe80::1%eth0]/a/b-c.d'), 'fe80::1%eth0:2181 /a/b-c.d')
  })

  it('is not there when nothing is set', () => {
    assert.equal(parseZooKeeperConnect(null), null)
    assert.equal(parseZooKeeperConnect(''), null)
    assert.equal(parse({}).config.zookeeper, null)
    assert.deepEqual(parse({ 'zookeeper.connect': 'zk' }).config.zookeeper, {
      servers: ['zk:2181'],
      chroot: '',
    })
  })

  it('is refused when it says something else, with what it has to be', () => {
    for (const text of [
      ',',
      'zk,',
      'zk:',
      'zk:0',
      'zk:65536',
      'zk:port',
      'zk:1:2',
      '::1',
      'z k',
      '/kafka',
      'zk//a',
      'zk/a/',
      'zk/a//b',
      'zk/.',
      'zk/a/..',
      'zk/a b',
      'zk/a,zk2',
      'zk/a\u0000',
    ])
      assert.throws(() => parseZooKeeperConnect(text), {
        code: 'SAMSA_CONFIG',
        message: /^zookeeper\.connect=.*: must be host:port\[,host:port\.\.\.\]\[\/chroot\], for example /s,
      })
  })

  it('wants credentials that can be some, and an owner of what is made', () => {
    const refused = (values: Record<string, string>, message: RegExp): void =>
      assert.throws(() => parse({ 'zookeeper.connect': 'zk', ...values }), { code: 'SAMSA_CONFIG', message })
    for (const wrong of ['user', ':secret', 'user:'])
      refused(
        { 'samsa.zookeeper.credentials': wrong },
        /^samsa\.zookeeper\.credentials=\[hidden\]: must be user:password$/,
      )
    refused({ 'zookeeper.set.acl': 'true' }, /^zookeeper\.set\.acl=true: needs samsa\.zookeeper\.credentials/)
    const { config } = parse({
      'zookeeper.connect': 'zk',
      'zookeeper.set.acl': 'true',
      'samsa.zookeeper.credentials': 'user:pass:word',
    })
    assert.equal(config['samsa.zookeeper.credentials'], 'user:pass:word')
    // Without an ensemble nobody is asked to log in.
    assert.doesNotThrow(() => parse({ 'zookeeper.set.acl': 'true' }))
  })
})
