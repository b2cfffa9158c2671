#!/usr/bin/env node
/**
 * The executable. CommonJS, because loading an ES module starts the thread pool, and how many threads it has is
 * decided when it starts: the four of the default are few for durable writes, which wait for the device in them.
 *
 * It runs the command line as one file, and gives V8 what V8 made of that file before: compiling takes a third of the
 * time in which a broker starts.
 */
import type NodeEvents from 'node:events'
import type NodeFs from 'node:fs'
import type NodeModule from 'node:module'
import type NodePath from 'node:path'
import type NodeVm from 'node:vm'

process.env['UV_THREADPOOL_SIZE'] ??= '16'

const fs: typeof NodeFs = require('node:fs')
const nodeModule: typeof NodeModule = require('node:module')
const path: typeof NodePath = require('node:path')
const vm: typeof NodeVm = require('node:vm')
const { CodeCache }: { CodeCache: new (source: Uint8Array) => Cache } = require('./code-cache.cjs')

interface Cache {
  read(): Buffer | undefined
  write(code: Buffer): void
}

const bundlePath = path.join(__dirname, '../../lib/cli/main.cjs')
const bundle = fs.readFileSync(bundlePath)
const cache = new CodeCache(bundle)
const cachedData = cache.read()

const script = new vm.Script(nodeModule.wrap(bundle.toString('latin1')), {
  filename: bundlePath,
  ...(cachedData === undefined ? {} : { cachedData }),
  importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
})

/** Other commands load little of it. */
const isMissing = cachedData === undefined || script.cachedDataRejected === true
const events: NodeEvents = process
events.once('samsa:started', () => {
  if (!isMissing) return
  process.on('exit', (code) => {
    if (code === 0) cache.write(script.createCachedData())
  })
})

/** The last step of the build on this machine: a broker from start to stop, on nothing but its temporary directory. */
if (process.argv[2] === '--write-code-cache') {
  if (!isMissing) process.exit(0)
  for (const name of Object.keys(process.env)) if (/^KAFKA_|^CLUSTER_ID$/.test(name)) delete process.env[name]
  process.argv.splice(2, 1, '--run', 'exit 0')
  // The build has succeeded without it.
  process.on('exit', () => (process.exitCode = 0))
}

const main = { exports: {} }
const body = script.runInThisContext() as (...parts: unknown[]) => void
body(main.exports, nodeModule.createRequire(bundlePath), main, bundlePath, path.dirname(bundlePath))
