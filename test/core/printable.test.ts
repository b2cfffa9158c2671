import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { excerpt, printable, printableLines } from '../../src/core/printable.ts'

/** All that a terminal or a reader of lines takes for something else than text. */
const DANGEROUS = [0x00, 0x07, 0x08, 0x0a, 0x0d, 0x1b, 0x7f, 0x85, 0x9b, 0x9d].concat([
  0x00ad, 0x061c, 0x200b, 0x200e, 0x2028, 0x2029, 0x202a, 0x202e, 0x2066, 0x2069, 0xfeff, 0xd800, 0xdc00,
  0xe0001, 0xfff9,
])

test('what draws on a terminal is shown as what it is', () => {
  assert.equal(printable('a\u009bb\u202ec\u2028d\u007fe\u001bf'), 'a\\u009bb\\u202ec\\u2028d\\u007fe\\u001bf')
  assert.equal(printable('one\r\n\ttwo'), 'one\\r\\n\\ttwo')
  assert.equal(printable('tag \u{e0001}'), 'tag \\u{e0001}')
  assert.equal(printable('Grüße, 世界, \u{1f600} and C:\\temp'), 'Grüße, 世界, \u{1f600} and C:\\temp')
  assert.equal(printableLines('one\u001b\ntwo\u0085'), 'one\\u001b\ntwo\\u0085')
  for (const codePoint of DANGEROUS) {
    const shown = printable(`<${String.fromCodePoint(codePoint)}>`)
    assert.match(shown, /^<[\x20-\x7e]+>$/, codePoint.toString(16))
  }
})

test('any text becomes one line, and to escape it once is enough', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const shown = printable(text)
      assert.doesNotMatch(shown, /[\p{C}\p{Zl}\p{Zp}]/u)
      assert.equal(printable(shown), shown)
    }),
  )
})

test('a long text keeps its start and its end', () => {
  const id = `${'a'.repeat(32_768)}-0123-4567`
  const shown = excerpt(id, 200)
  assert.ok(shown.length < 240)
  assert.match(shown, /^a+…\(32778 characters\)…a+-0123-4567$/)
  assert.equal(excerpt('short', 200), 'short')
  // A cut through a character leaves halves, which are shown as such.
  assert.match(printable(excerpt('\u{1f600}'.repeat(300), 101)), /^[^\ud800-\udfff]*(\\ud83d|\\ude00|.)*$/u)
})
