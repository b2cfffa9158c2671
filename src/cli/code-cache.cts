/**
 * What V8 compiled, kept for the next start. It is code: whoever can write it runs what he likes as us. So it lies in
 * a folder that nobody but this user can change, under a name made of the very text it was compiled from, and it is
 * made on this machine only. In doubt there is none, and V8 compiles.
 */
import type NodeCrypto from 'node:crypto'
import type NodeFs from 'node:fs'
import type NodeOs from 'node:os'
import type NodePath from 'node:path'
import type NodeV8 from 'node:v8'

const crypto: typeof NodeCrypto = require('node:crypto')
const fs: typeof NodeFs = require('node:fs')
const os: typeof NodeOs = require('node:os')
const path: typeof NodePath = require('node:path')
const v8: typeof NodeV8 = require('node:v8')

/** Of these many versions, settings of V8 and Node.js the newest stay. */
const MAX_FILES = 8
const DIGEST_BYTES = 32
const WRITABLE_BY_OTHERS = 0o022
const OPEN_TO_OTHERS = 0o077
const STICKY = 0o1000

class CodeCache {
  readonly #folder: string | null
  readonly #name: string

  constructor(source: Uint8Array) {
    this.#name = crypto
      .createHash('sha256')
      // The tag stands for V8's version, its flags and the features of the processor.
      .update(`${process.version} ${process.platform} ${process.arch} ${v8.cachedDataVersionTag()}\n`)
      .update(source)
      .digest('hex')
    this.#folder = folderOfUser()
  }

  /** Undefined when there is none that can be trusted. */
  read(): Buffer | undefined {
    try {
      if (this.#folder === null || !isOnlyOurs(this.#folder)) return undefined
      const bytes = readOwnFile(path.join(this.#folder, this.#name))
      const code = bytes.subarray(DIGEST_BYTES)
      return this.#digest(code).equals(bytes.subarray(0, DIGEST_BYTES)) ? code : undefined
    } catch {
      return undefined
    }
  }

  /** Where it cannot be kept, the next start compiles again. */
  write(code: Buffer): void {
    if (this.#folder === null) return
    const work = path.join(this.#folder, `.${process.pid}.${crypto.randomUUID()}`)
    try {
      makeFolders(this.#folder)
      if (!isOnlyOurs(this.#folder)) return
      fs.writeFileSync(work, Buffer.concat([this.#digest(code), code]), { flag: 'wx', mode: 0o600 })
      fs.renameSync(work, path.join(this.#folder, this.#name))
      this.#prune(this.#folder)
    } catch {
      fs.rmSync(work, { force: true })
    }
  }

  /** V8 no longer checks for itself whether a file was cut or damaged. */
  #digest(code: Uint8Array): Buffer {
    return crypto.createHash('sha256').update(this.#name).update(code).digest()
  }

  #prune(folder: string): void {
    const found = fs.readdirSync(folder).map((name) => {
      const file = path.join(folder, name)
      return { file, modifiedMs: fs.lstatSync(file).mtimeMs }
    })
    found.sort((a, b) => b.modifiedMs - a.modifiedMs)
    for (const { file } of found.slice(MAX_FILES)) fs.rmSync(file, { force: true })
  }
}

/** Null where files have no owners to check, or the user has no home. */
function folderOfUser(): string | null {
  if (process.geteuid === undefined) return null
  try {
    const caches = process.env['XDG_CACHE_HOME'] ?? ''
    return path.join(path.isAbsolute(caches) ? caches : path.join(os.homedir(), '.cache'), 'samsa', 'code')
  } catch {
    return null
  }
}

/** Those of ours, and the one that all caches share. With `recursive` Node.js would try for ever below /proc. */
function makeFolders(folder: string): void {
  const above = path.dirname(folder)
  for (const each of [path.dirname(above), above, folder])
    if (!fs.existsSync(each)) fs.mkdirSync(each, { mode: 0o700 })
}

/** Nobody but this user and root can change what stands there, or put something else in its place. */
function isOnlyOurs(folder: string): boolean {
  const user = process.geteuid?.()
  const own = fs.lstatSync(folder)
  if (!own.isDirectory() || own.uid !== user || (own.mode & OPEN_TO_OTHERS) !== 0) return false
  // A link on the way is as good as where it leads, as long as it leads through folders like these.
  for (let above = fs.realpathSync(folder); above !== path.dirname(above);) {
    above = path.dirname(above)
    const { uid, mode } = fs.lstatSync(above)
    const shared = (mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0
    if ((uid !== user && uid !== 0) || shared) return false
  }
  return true
}

function readOwnFile(file: string): Buffer {
  const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK)
  try {
    const found = fs.fstatSync(fd)
    const own = found.isFile() && found.uid === process.geteuid?.() && (found.mode & OPEN_TO_OTHERS) === 0
    if (!own) throw new Error(`${file} is not only ours`)
    return fs.readFileSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

module.exports = { CodeCache }
