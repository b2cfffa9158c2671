import assert from 'node:assert/strict'
import { describe, it } from 'node:test'

import { configFromEnvironment, parseProperties } from '../../../src/core/config/config-input.ts'

describe('configuration from the environment', () => {
  it('maps names as the images do', () => {
    const values = configFromEnvironment([
      ['KAFKA_LOG_DIRS', '/data'],
      ['KAFKA_A__B_C___D', '1'],
      ['KAFKA_CFG_NUM_PARTITIONS', '3'],
      ['KAFKA_HEAP_OPTS', '-Xmx1g'],
      ['KAFKA_BROKERS', 'x:1'],
      ['KAFKA_UNSET', undefined],
      ['KAFKA_', 'x'],
      ['PATH', '/bin'],
    ])
    assert.deepEqual(Object.fromEntries(values), {
      'log.dirs': '/data',
      'a_b.c-d': '1',
      'num.partitions': '3',
    })
  })
})

describe('properties files', () => {
  it('reads separators, comments, continuations and escapes', () => {
    const values = parseProperties(
      [
        '# a comment',
        '! another',
        'a=1',
        '  b : 2  ',
        'c 3',
        'd=x,\\',
        '   y',
        'e=C:\\\\logs\\u0041',
        'f=',
        'g',
        'a=4',
        'key\\ with\\=signs = v=w',
      ].join('\r\n'),
    )
    assert.deepEqual(Object.fromEntries(values), {
      a: '4',
      b: '2',
      c: '3',
      d: 'x,y',
      e: 'C:\\logsA',
      f: '',
      g: '',
      'key with=signs': 'v=w',
    })
  })

  it('survives a file that ends in the middle', () => {
    assert.deepEqual(Object.fromEntries(parseProperties('a=1\\')), { a: '1' })
    assert.deepEqual(parseProperties('').size, 0)
  })
})
