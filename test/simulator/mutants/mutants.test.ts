import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { MUTANTS } from './mutants.ts'
import type { Mutant, MutantFate } from './mutants.ts'

/**
 * The test of the campaigns: one line of the broker is changed, and a campaign has to see it. One that lets a mutant live
 * proves nothing about a broker without it. A mutant whose line is gone is to be written anew for the line that does
 * its work now.
 */

const PROCESS = fileURLToPath(new URL('mutant-process.js', import.meta.url))
/** A mutant that does not run at all says nothing about who looks at it. */
const NO_MUTANT = /^(?:SyntaxError|ReferenceError)|has \d+ times/

function fateOf(mutant: Mutant): Promise<MutantFate> {
  return new Promise((resolve, reject) => {
    const child = fork(PROCESS, {
      env: { ...process.env, NODE_TEST_CONTEXT: '' },
      execArgv: [],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    let fate: MutantFate | null = null
    child.on('message', (message) => (fate = message as MutantFate))
    child.on('error', reject)
    child.on('exit', (code) => {
      if (fate === null) reject(new Error(`the process of the mutant ended with code ${code}`))
      else resolve(fate)
    })
    child.send(mutant)
  })
}

describe('a campaign sees', { concurrency: availableParallelism() }, () => {
  for (const mutant of MUTANTS)
    test(mutant.name, async (context) => {
      const { seed, error } = await fateOf(mutant)
      context.diagnostic(`seed ${seed}: ${error.split('\n')[0]?.slice(0, 150)}`)
      assert(!NO_MUTANT.test(error), error)
      assert(seed > 0, error)
    })
})
