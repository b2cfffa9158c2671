import { register } from 'node:module'
import type { Replacement } from './mutating-loader.ts'

/** Loaded before anything else of a process (`--import`): the code has its bug before anybody sees it. */
const text = process.env['SAMSA_MUTANT']
if (text !== undefined) {
  register<Replacement>('./mutating-loader.js', import.meta.url, { data: JSON.parse(text) as Replacement })
}
