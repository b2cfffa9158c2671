#!/usr/bin/env node
/**
 * The executable. CommonJS, because loading an ES module starts the thread pool, and how many threads it has is
 * decided when it starts: the four of the default are few for durable writes, which wait for the device in them.
 *
 * It runs the command line as one file, and gives V8 what V8 made of that file when the package was built: compiling
 * takes a third of the time in which a broker starts. V8 refuses the cache of another version, then it compiles.
 */
import type NodeFs from 'node:fs'
import type NodeModule from 'node:module'
import type NodePath from 'node:path'
import type NodeVm from 'node:vm'

process.env['UV_THREADPOOL_SIZE'] ??= '16'

const fs: typeof NodeFs = require('node:fs')
const nodeModule: typeof NodeModule = require('node:module')
const path: typeof NodePath = require('node:path')
const vm: typeof NodeVm = require('node:vm')

const bundlePath = path.join(__dirname, '../../lib/cli/main.cjs')
const cachePath = `${bundlePath}.cache`

const script = new vm.Script(nodeModule.wrap(fs.readFileSync(bundlePath, 'utf8')), {
  filename: bundlePath,
  ...(fs.existsSync(cachePath) ? { cachedData: fs.readFileSync(cachePath) } : {}),
  importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
})

/** The last step of the build: runs a broker from start to stop and keeps what V8 compiled for it. */
if (process.argv[2] === '--write-code-cache') {
  process.argv.splice(2, 1, '--run', `"${process.execPath}" -e 0`)
  process.on('exit', (code) => {
    if (code === 0) fs.writeFileSync(cachePath, script.createCachedData())
  })
}

const main = { exports: {} }
const body = script.runInThisContext() as (...parts: unknown[]) => void
body(main.exports, nodeModule.createRequire(bundlePath), main, bundlePath, path.dirname(bundlePath))
