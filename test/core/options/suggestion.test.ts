import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unknownBrokerKey } from '../../../src/core/config/broker-config.ts'
import { closest } from '../../../src/core/options/suggestion.ts'

test('a misspelt name is known again', () => {
  const options = ['port', 'host', 'dataDir', 'config', 'profile', 'logLevel']
  for (const [given, meant] of [
    ['prot', 'port'],
    ['Port', 'port'],
    ['hots', 'host'],
    ['data_dir', 'dataDir'],
    ['data', 'dataDir'],
    ['level', 'logLevel'],
    ['directory', null],
    ['loglevl', 'logLevel'],
    ['conf', 'config'],
    ['x', null],
    ['', null],
    ['-', null],
    ['something', null],
  ] as const)
    assert.equal(closest(given, options), meant, given)
})

test('one mistake more than is forgiven is no suggestion, and the nearest wins', () => {
  assert.equal(closest('abcdefghij', ['abcdefgxyz', 'xbcdefghij']), 'xbcdefghij')
  assert.equal(closest('abcdefghij', ['abcdefgxyz']), 'abcdefgxyz')
  assert.equal(closest('abcdefghij', ['abcdefwxyz']), null)
  // Of four letters one may be wrong, or two neighbours swapped.
  assert.equal(closest('abcd', ['abdc']), 'abdc')
  assert.equal(closest('abcd', ['bacd']), 'bacd')
  assert.equal(closest('abcd', ['xbdx']), null)
})

test('configuration keys: wrong ends, other spellings, the names they have on topics', () => {
  for (const [given, meant] of [
    ['log.retention.hour', 'log.retention.hours'],
    ['numPartitions', 'num.partitions'],
    ['retention.ms', 'log.retention.ms'],
    ['KAFKA_LOG_DIRS', null],
    ['zookeper.connect', 'zookeeper.connect'],
    ['log.cleaner.thread', 'log.cleaner.threads'],
    ['nodeid', 'node.id'],
  ] as const)
    assert.equal(
      unknownBrokerKey(given),
      `there is no such configuration${meant === null ? '' : `; did you mean ${meant}?`}`,
    )
  for (const known of ['log.dir', 'node.id', 'zookeeper.connect', 'log.cleaner.threads', 'num.partitions'])
    assert.equal(unknownBrokerKey(known), null)
})
