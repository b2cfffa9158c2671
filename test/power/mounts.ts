/**
 * File systems that a test may break: ext4 in a file, or a tmpfs of a given size. Needs root. Everything mounted here
 * is unmounted when the process ends, whatever ends it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { run, runOrThrow } from '../support/processes.ts'
import { until } from '../support/until.ts'

interface Mounted {
  readonly directory: string
  /** The file that it lies in; null for one in memory. */
  readonly image: string | null
}

/** Mounted by this process, the outermost first. */
const mounted: Mounted[] = []
const workDirectories = new Set<string>()
let watchingExit = false

/** EXT4_IOC_SHUTDOWN with a flag: 0 takes the file system down after a flush, 2 without even its journal. */
const shutdownScript = `
import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587d, struct.pack('I', int(sys.argv[2])))
`

/** Writes back stretches of a file ("position length", one per line), and nothing else of it. */
const writeBackScript = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open(sys.argv[1], os.O_RDWR)
for line in sys.stdin:
    position, length = map(int, line.split())
    if libc.sync_file_range(fd, ctypes.c_int64(position), ctypes.c_int64(length), ctypes.c_uint(7)) != 0:
        raise OSError(ctypes.get_errno(), 'sync_file_range')
`

function watchExit(): void {
  if (watchingExit) return
  watchingExit = true
  process.once('exit', () => {
    // Lazily: a broker that is being killed may hold files for some more milliseconds.
    for (const { directory } of mounted.splice(0).toReversed()) spawnSync('umount', ['-l', directory])
    for (const directory of workDirectories) removeWorkDirectory(directory)
  })
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const)
    process.once(signal, () => process.exit(code))
}

/** A fresh directory for images and mount points. */
export function makeWorkDirectory(): string {
  watchExit()
  const directory = mkdtempSync(join(tmpdir(), 'samsa-power-'))
  workDirectories.add(directory)
  return directory
}

/** Removes it, unless something is still mounted inside. */
export function removeWorkDirectory(directory: string): void {
  if (process.env['SAMSA_KEEP'] === '1' || mounted.some((mount) => mount.directory.startsWith(directory)))
    return
  workDirectories.delete(directory)
  rmSync(directory, { recursive: true, force: true })
}

/** An ext4 file system in a file. `written`: every block of the file exists already, so writes change no metadata. */
export async function makeImage(file: string, sizeMb: number, written = false): Promise<void> {
  await writeFile(file, '')
  await truncate(file, sizeMb << 20)
  if (written) {
    await runOrThrow('dd', [
      'if=/dev/zero',
      `of=${file}`,
      'bs=1M',
      `count=${sizeMb}`,
      'conv=notrunc,fsync',
      'status=none',
    ])
    // Out of the page cache: its large folios would be written back as one, however small the stretch asked for.
    await runOrThrow('dd', [`of=${file}`, 'oflag=nocache', 'conv=notrunc', 'count=0', 'status=none'])
  }
  // Discarding would punch the written blocks out of the file again.
  await runOrThrow('mkfs.ext4', ['-q', '-F', '-b', '4096', '-E', 'nodiscard', file])
}

/** Also replays the journal of an image that was cut off. The journal is flushed by the clock, ext4's default is 5 s. */
export async function mountImage(file: string, directory: string, commitSeconds = 5): Promise<void> {
  await mount(['-o', `loop,commit=${commitSeconds}`, file, directory], { directory, image: file })
}

export async function mountTmpfs(directory: string, sizeMb: number): Promise<void> {
  await mount(['-t', 'tmpfs', '-o', `size=${sizeMb}m`, 'samsa-test', directory], { directory, image: null })
}

export async function resizeTmpfs(directory: string, sizeMb: number): Promise<void> {
  await runOrThrow('mount', ['-o', `remount,size=${sizeMb}m`, directory])
}

async function mount(args: readonly string[], made: Mounted): Promise<void> {
  watchExit()
  mkdirSync(made.directory, { recursive: true })
  // Two that mount at once may find the same loop device free.
  await runAgainWhile('failed to setup loop device', 1_000, 'mount', args)
  mounted.push(made)
}

/** Until it succeeds; any other complaint than this one, or this one for so long, is an error. */
async function runAgainWhile(
  complaint: string,
  forMs: number,
  command: string,
  args: readonly string[],
): Promise<void> {
  const until = performance.now() + forMs
  for (;;) {
    const { code, stderr } = await run(command, args)
    if (code === 0) return
    if (!stderr.includes(complaint) || performance.now() > until)
      throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
    await sleep(5)
  }
}

/** Waits while a dying process still holds files. */
export async function unmount(directory: string): Promise<void> {
  const index = mounted.findIndex((mount) => mount.directory === directory)
  if (index === -1) return
  await runAgainWhile('busy', 20_000, 'umount', [directory])
  const [gone] = mounted.splice(index, 1)
  // Whoever made a mount namespace meanwhile (`unshare`) has it mounted there still. The same image mounted again
  // would be the same file system, with its power cut.
  await until(
    () => !isAttached(gone!.image),
    () => sleep(10),
  )
}

/** Whether a loop device still has the image. */
function isAttached(image: string | null): boolean {
  if (image === null) return false
  return readdirSync('/sys/block').some((device) => {
    try {
      return readFileSync(`/sys/block/${device}/loop/backing_file`, 'utf8').trim() === image
    } catch {
      // No loop device, or one that has nothing now.
      return false
    }
  })
}

/** All I/O below the directory fails from now on. `flush`: what was written before is on the device. */
export async function shutDown(directory: string, { flush }: { flush: boolean }): Promise<void> {
  await runOrThrow('python3', ['-E', '-S', '-c', shutdownScript, directory, flush ? '0' : '2'])
}

export async function writeBack(
  file: string,
  stretches: readonly (readonly [position: number, length: number])[],
): Promise<void> {
  const input = stretches.map(([position, length]) => `${position} ${length}\n`).join('')
  const { code, stderr } = await run('python3', ['-E', '-S', '-c', writeBackScript, file], { input })
  if (code !== 0) throw new Error(`sync_file_range: ${stderr}`)
}

const writeback = '/proc/sys/vm/dirty_writeback_centisecs'
/** The kernel's own default, for a machine that somebody left without. */
const DEFAULT_WRITEBACK = '500'

/** Keeps the kernel from writing dirty pages by the clock, which would help a broker that does not. Dispose to end. */
export function holdWriteback(): Disposable {
  const before = readFileSync(writeback, 'utf8').trim()
  const restored = before === '0' ? DEFAULT_WRITEBACK : before
  const restore = (): void => writeFileSync(writeback, restored)
  watchExit()
  process.once('exit', restore)
  writeFileSync(writeback, '0')
  return {
    [Symbol.dispose]: () => {
      restore()
      process.removeListener('exit', restore)
    },
  }
}

/** Why file systems cannot be made and broken here, in a line; null when they can. */
export async function mountProblem(): Promise<string | null> {
  if (process.platform !== 'linux') return 'power cuts need Linux'
  if (process.getuid?.() !== 0) return 'power cuts need root: they mount a file system of their own'
  const directory = makeWorkDirectory()
  const image = join(directory, 'probe.img')
  const point = join(directory, 'probe')
  try {
    await makeImage(image, 32)
    await mountImage(image, point)
    await shutDown(point, { flush: false })
    if (!existsSync(writeback)) throw new Error(`${writeback} is missing`)
    writeFileSync(writeback, readFileSync(writeback, 'utf8'))
    return null
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    return `power cuts need mkfs.ext4, loop devices, python3 and a writable ${writeback}: ${reason.trim().split('\n').at(-1)}`
  } finally {
    await unmount(point).catch(() => undefined)
    removeWorkDirectory(directory)
  }
}
