import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import process from 'node:process'
import { test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const module = JSON.stringify(new URL('../../src/system/kept-alive.js', import.meta.url).href)

/** What a process says whose work rests on a timer that keeps no process alive. */
async function saidAfter(waiting: string): Promise<string> {
  const program = `
    import { keptAlive } from ${module}
    const work = new Promise((resolve) => setTimeout(resolve, 50).unref())
    void ${waiting}.then(() => console.log('done'))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program])
  return stdout
}

test('who waits for a timer of the clock lives until it is due, and not longer', async () => {
  assert.equal(await saidAfter('work'), '')
  assert.equal(await saidAfter('keptAlive(work)'), 'done\n')
})
