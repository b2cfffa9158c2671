import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  parseConnectionOverrides,
  parseHostPort,
  parseListeners,
} from '../../../src/core/config/listeners.ts'
import type { ListenerSettings } from '../../../src/core/config/listeners.ts'

const PLAIN: ListenerSettings = {
  listeners: [],
  advertisedListeners: [],
  protocolMap: ['PLAINTEXT:PLAINTEXT', 'SSL:SSL', 'OUT:PLAINTEXT', 'IN:PLAINTEXT'],
  interBrokerListenerName: null,
  controllerListenerNames: [],
}

const endpoints = (settings: Partial<ListenerSettings>) => parseListeners({ ...PLAIN, ...settings }).endpoints
const refused = { code: 'SAMSA_CONFIG' }

test('listeners: names, hosts and ports', () => {
  const plain = { protocol: 'PLAINTEXT', advertised: null }
  for (const [text, name, host, port] of [
    ['PLAINTEXT://h:9092', 'PLAINTEXT', 'h', 9092],
    ['out://h:65535', 'OUT', 'h', 65_535],
    ['PLAINTEXT://:0', 'PLAINTEXT', '', 0],
    ['PLAINTEXT://[::1]:1', 'PLAINTEXT', '::1', 1],
    ['PLAINTEXT://[fe80::1%eth0]:1', 'PLAINTEXT', 'fe80::1%eth0', 1],
  ] as const)
    assert.deepEqual(endpoints({ listeners: [text] }), [{ name, host, port, ...plain }])
  for (const text of [
    '',
    'h:9092',
    'PLAINTEXT://h',
    'PLAINTEXT://h:',
    'PLAINTEXT://h:x',
    'PLAINTEXT://h:65536',
    'PLAINTEXT://h:123456',
    'PLAINTEXT://::1:9092',
    'PLAINTEXT://a b:9092',
    'SSL://h:1',
    'NEW://h:1',
  ])
    assert.throws(() => endpoints({ listeners: [text] }), refused, text)
  assert.throws(() => endpoints({}), refused)
})

test('listeners: no two of one name or of one address', () => {
  assert.equal(endpoints({ listeners: ['OUT://h:1', 'IN://h:2'] }).length, 2)
  assert.equal(endpoints({ listeners: ['OUT://h:0', 'IN://h:0'] }).length, 2)
  assert.equal(endpoints({ listeners: ['OUT://h:1', 'IN://i:1'] }).length, 2)
  assert.throws(() => endpoints({ listeners: ['OUT://h:1', 'out://h:2'] }), /name of its own/)
  assert.throws(() => endpoints({ listeners: ['OUT://h:1', 'IN://h:1'] }), /same address/)
})

test('listeners: what clients are told must be theirs to use', () => {
  const two = { listeners: ['OUT://h:1', 'IN://h:2'] }
  assert.deepEqual(
    endpoints({ ...two, advertisedListeners: ['in://b:7'] }).map(({ advertised }) => advertised),
    [null, { host: 'b', port: 7 }],
  )
  for (const text of ['PLAINTEXT://b:7', 'IN://0.0.0.0:7', 'IN://[::]:7', 'IN'])
    assert.throws(() => endpoints({ ...two, advertisedListeners: [text] }), refused, text)
  assert.equal(endpoints({ ...two, interBrokerListenerName: 'in' }).length, 2)
  assert.throws(() => endpoints({ ...two, interBrokerListenerName: 'OTHER' }), /OUT, IN/)
})

test('listeners: those of a controller quorum are left out, advertised ones too', () => {
  const settings = {
    listeners: ['CONTROLLER://h:1', 'OUT://h:2'],
    advertisedListeners: ['CONTROLLER://x:1', 'OUT://y:2'],
    controllerListenerNames: ['controller'],
  }
  const { endpoints: left, ignored } = parseListeners({ ...PLAIN, ...settings })
  assert.deepEqual(
    [left.map(({ name, advertised }) => [name, advertised?.host]), ignored],
    [[['OUT', 'y']], ['CONTROLLER']],
  )
  assert.throws(() => endpoints({ ...settings, listeners: ['CONTROLLER://h:1'] }), /not only controller/)
})

test('the map of protocols has entries of two words', () => {
  const listeners = ['A://h:1']
  assert.equal(endpoints({ listeners, protocolMap: [' a : plaintext '] }).length, 1)
  for (const entry of ['A', 'A:', ':PLAINTEXT', 'A:PLAINTEXT:B', ''])
    assert.throws(() => endpoints({ listeners, protocolMap: [entry] }), /NAME:PROTOCOL/, entry)
  assert.throws(() => endpoints({ listeners, protocolMap: ['A:SSL'] }), /A:SSL/)
})

test('host:port', () => {
  const parse = (text: string) => parseHostPort('some.key', text, 'h:1')
  assert.equal(parse(''), null)
  assert.deepEqual(parse('h:65535'), { host: 'h', port: 65_535 })
  assert.deepEqual(parse(':0'), { host: '', port: 0 })
  assert.deepEqual(parse('[::1]:7'), { host: '::1', port: 7 })
  for (const text of ['h', 'h:', 'h:65536', '::1:7', 'h:7x', 'a b:7'])
    assert.throws(() => parse(text), /some\.key/, text)
})

test('connections by address', () => {
  const parse = (text: string) => [...parseConnectionOverrides(text)]
  assert.deepEqual(parse(''), [])
  assert.deepEqual(parse('10.0.0.7:500, b:0,[::1]:999999999'), [
    ['10.0.0.7', 500],
    ['b', 0],
    ['::1', 999_999_999],
  ])
  for (const text of ['a', ':5', 'a:', 'a:-1', 'a:x', 'a:1234567890', 'a:1,b'])
    assert.throws(() => parse(text), refused, text)
})
