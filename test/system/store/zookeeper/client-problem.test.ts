import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { describeProblem } from '../../../../src/system/store/zookeeper/client-problem.ts'

const PREFIX = path.dirname(path.dirname(process.execPath))

test('who lacks the npm package is told which command to run, and where', () => {
  const told = (problem: Parameters<typeof describeProblem>[0], module: string, file: string): string =>
    describeProblem(problem, 'first line\nsecond line', module, file)
  const inProject = '/app/node_modules/samsa/dist/lib/zookeeper-sidecar.cjs'
  assert.match(
    told('missing', 'zookeeper', inProject),
    /^zookeeper\.connect needs the npm package zookeeper, which is not installed \(zookeeper\)\. In \/app, run: npm install (?:--nodedir=\S+ )?zookeeper@7 \(it compiles/,
  )
  const everywhere = `${PREFIX}/lib/node_modules/samsa/dist/lib/zookeeper-sidecar.cjs`
  assert.match(
    told('missing', 'zookeeper', everywhere),
    /run: npm install --global (?:--nodedir=\S+ )?zookeeper@7 /,
  )
  const checkout = '/home/me/samsa/dist/lib/zookeeper-sidecar.cjs'
  assert.match(
    told('unbuilt', 'zookeeper', checkout),
    /did not run\. In \/home\/me\/samsa, run: npm rebuild --ignore-scripts=false /,
  )
  const elsewhere = '/opt/clients/node_modules/zookeeper'
  assert.match(
    told('foreign', elsewhere, inProject),
    /built for another Node\.js than this one, Node\.js v[\d.]+ \(first line\)\. In \/opt\/clients, run: npm rebuild .*zookeeper \(/,
  )
  assert.match(
    told('broken', 'zookeeper', inProject),
    /does not load in Node\.js v[\d.]+ \(first line\)\. In \/app, run: npm rebuild /,
  )
})
