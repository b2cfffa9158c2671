import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Mutant, MutantFate } from './mutants.ts'

const PROCESS = fileURLToPath(new URL('mutant-process.js', import.meta.url))
/** A mutant that does not run at all says nothing about who looks at it. */
const NO_MUTANT = /^(?:SyntaxError|ReferenceError)|has \d+ times|nobody tells/

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

/** Declares a test for each: somebody sees it. */
export function campaignsSee(mutants: readonly Mutant[]): void {
  describe('a campaign sees', { concurrency: availableParallelism() }, () => {
    for (const mutant of mutants)
      test(mutant.name, async (context) => {
        const { seed, error } = await fateOf(mutant)
        context.diagnostic(`seed ${seed}: ${error.split('\n')[0]?.slice(0, 150)}`)
        assert(!NO_MUTANT.test(error), error)
        assert(seed > 0, error)
      })
  })
}
