import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import {
  brokerConfigProblem,
  brokerTable,
  parseBrokerConfig,
  withDynamicConfig,
} from '../../../src/core/config/broker-config.ts'
import { describeBrokerConfig } from '../../../src/core/config/describe-config.ts'
import { withoutEffectTable } from '../../../src/core/config/keys-without-effect.ts'
import { isSecretKey, shownValue } from '../../../src/core/config/secrets.ts'
import { topicConfigProblem } from '../../../src/core/config/topic-config.ts'
import { topicTable } from '../../../src/core/config/topic-keys.ts'

const SECRET = 'hunter2'

function parse(values: Record<string, string>) {
  return parseBrokerConfig([
    { source: 'STATIC_BROKER_CONFIG', origin: 'a file', values: new Map(Object.entries(values)) },
  ])
}

const knownKeys = { ...brokerTable, ...withoutEffectTable }

const passwordKeys = Object.entries(knownKeys).flatMap(([key, { type }]) =>
  type === 'PASSWORD' ? [key] : [],
)

test('a password is a value that nothing prints', () => {
  assert.ok(passwordKeys.includes('ssl.keystore.password'))
  for (const key of passwordKeys) {
    const { config, warnings } = parse({ [key]: SECRET })
    assert.ok(!inspect(config.settings, { depth: 9 }).includes(SECRET))
    if (Object.hasOwn(brokerTable, key)) {
      assert.deepEqual([Reflect.get(config, key), warnings], [SECRET, []])
      continue
    }
    assert.equal(Reflect.get(config, key), undefined)
    assert.equal(warnings.length, 1)
    assert.match(warnings[0]!, new RegExp(`^without effect in this broker \\(a file\\): ${key} \\(`))
    assert.ok(!warnings[0]!.includes(SECRET))
  }
})

test('it is described as sensitive, without a value anywhere, as in Kafka', () => {
  const { config } = parse(Object.fromEntries(passwordKeys.map((key) => [key, SECRET])))
  const described = describeBrokerConfig(config)
  assert.ok(!JSON.stringify(described).includes(SECRET))
  for (const { name, value, sensitive, type, source, readOnly } of described) {
    const secret = passwordKeys.includes(name)
    assert.equal(sensitive, secret, name)
    if (!secret) continue
    assert.deepEqual([value, type, source, readOnly], [null, 'PASSWORD', 'STATIC_BROKER_CONFIG', true])
  }
})

test('a key that nobody knows may be one: it is shown as a secret', () => {
  const { config } = parse({ 'my.plugin.setting': SECRET })
  assert.ok(!inspect(config.settings, { depth: 9 }).includes(SECRET))
  const found = describeBrokerConfig(config).find(({ name }) => name === 'my.plugin.setting')
  assert.deepEqual(found, {
    name: 'my.plugin.setting',
    value: null,
    source: 'STATIC_BROKER_CONFIG',
    readOnly: true,
    sensitive: true,
    type: 'UNKNOWN',
    documentation: null,
    synonyms: [{ name: 'my.plugin.setting', value: null, source: 'STATIC_BROKER_CONFIG' }],
  })
})

test('what can be stored in the nodes of the metadata is no password', () => {
  for (const [key, { type, update }] of Object.entries(knownKeys))
    if (isSecretKey(key) || type === 'PASSWORD') assert.equal(update, 'read-only', key)
  for (const [key, { type }] of Object.entries(topicTable)) {
    assert.notEqual(type, 'PASSWORD', key)
    assert.equal(isSecretKey(key), false, key)
  }
})

test('names that speak of secrets, known or not', () => {
  const secret = [
    'listener.name.internal.ssl.key.password',
    'listener.name.x.scram-sha-256.sasl.jaas.config',
    'ssl.keystore.passwrd',
    'sasl.oauthbearer.client.credentials.client.secret',
    'ssl.keystore.key',
    'my.plugin.token',
    'mykeystorePassword',
    'aws_secret_access_key',
    'api.key',
  ]
  for (const key of secret) {
    assert.ok(isSecretKey(key), key)
    assert.equal(shownValue(key, SECRET), '[hidden]')
  }
  const plain = Object.entries(brokerTable).flatMap(([key, { type }]) => (type === 'PASSWORD' ? [] : [key]))
  assert.deepEqual(plain.filter(isSecretKey), [])
})

test('a secret in a value that is none itself does not get into the message', () => {
  const problems = [
    () => parse({ listeners: `PLAINTEXT://user:${SECRET}@host:9092` }),
    () => parse({ 'num.partitions': `org.example.LoginModule required username="u" password="${SECRET}";` }),
    () => parse({ 'samsa.admin.listener': `password=${SECRET}` }),
    () => parse({ 'cluster.id': `secret: '${SECRET}'` }),
    () => parse({ 'broker.id': '1', 'node.id': `token=${SECRET}` }),
    () => parse({ 'max.connections.per.ip.overrides': `//:${SECRET}@x` }),
  ]
  for (const problem of problems)
    assert.throws(problem, ({ message }: Error) => {
      assert.ok(!message.includes(SECRET), message)
      assert.ok(message.includes('[hidden]'), message)
      return true
    })
  const toClients = [
    brokerConfigProblem('log.retention.ms', `password=${SECRET}`),
    topicConfigProblem(new Map([['retention.ms', `password=${SECRET}`]]), parse({}).config),
    ...withDynamicConfig(parse({}).config, new Map([['log.retention.ms', `password=${SECRET}`]]), new Map())
      .warnings,
  ]
  for (const message of toClients) {
    assert.ok(message !== null && !message.includes(SECRET), String(message))
    assert.match(message, /retention\.ms/)
  }
})

test('other values are shown, on one line', () => {
  assert.equal(shownValue('num.partitions', 'many'), 'many')
  assert.equal(shownValue('listeners', 'PLAINTEXT://a:1,B://b:2'), 'PLAINTEXT://a:1,B://b:2')
  assert.equal(shownValue('num.partitions', 'a\nb\u009b31m'), 'a\\nb\\u009b31m')
  assert.ok(shownValue('num.partitions', 'x'.repeat(100_000)).length < 2_000)
})
