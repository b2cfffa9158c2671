import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import fs from 'node:fs'
import process from 'node:process'
import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { listOrEmpty, readOrEmpty } from './proc-files.ts'

/** How long processes that were asked to end may take. */
export const GRACE_MS = 5_000
const LOOK_AGAIN_MS = 25

/** Marks everything that was started below a command, however deep and detached. Of nested runs: all of their marks. */
const MARK_VARIABLE = 'SAMSA_RUN'

export interface CommandEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/**
 * A shell command with all the processes that come of it: they get signals together, and none outlives this process.
 *
 * Without a terminal the command leads a session and a group of processes of its own. On a terminal it stays in our
 * group, or it could not read from the terminal and Ctrl-C would not reach it. Who left the group is found by a mark
 * in the environment, where there is /proc.
 */
export class CommandProcesses {
  readonly end: Promise<CommandEnd>
  readonly #child: ChildProcess
  readonly #mark: string
  readonly #onTerminal: boolean
  readonly #watcher: ChildProcess | null
  #killTimer: NodeJS.Timeout | null = null

  private constructor(child: ChildProcess, mark: string, onTerminal: boolean, watcher: ChildProcess | null) {
    this.#child = child
    this.#mark = mark
    this.#onTerminal = onTerminal
    this.#watcher = watcher
    this.end = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('exit', (code, signal) => resolve({ code, signal }))
    })
  }

  /** Should we be killed, `directory` is removed once the processes have ended. */
  static start(
    command: string,
    environment: Readonly<Record<string, string>>,
    directory: string,
  ): CommandProcesses {
    const mark = randomUUID()
    const outer = process.env[MARK_VARIABLE]
    // Not by way of the streams: making them would change how the command's own read and write.
    const onTerminal = [0, 1, 2].some((fd) => isatty(fd))
    const watcher = startWatcher(mark, directory)
    const child = spawn(command, {
      shell: true,
      stdio: 'inherit',
      detached: !onTerminal,
      env: {
        ...process.env,
        ...environment,
        [MARK_VARIABLE]: outer === undefined ? mark : `${outer}:${mark}`,
      },
    })
    if (!onTerminal && child.pid !== undefined) watcher?.stdin?.write(`${child.pid}\n`)
    return new CommandProcesses(child, mark, onTerminal, watcher)
  }

  /** Whether Ctrl-C reaches the command without us. */
  get hearsTerminal(): boolean {
    if (!this.#onTerminal || this.#child.exitCode !== null || this.#child.signalCode !== null) return false
    const [, , group, , , foreground] = statFields('self')
    return group === foreground
  }

  /** Passes a signal on; what is left after the grace is killed. */
  askToEnd(signal: NodeJS.Signals): void {
    this.#send(signal)
    // Who is stopped would not hear it.
    this.#send('SIGCONT')
    this.#killTimer ??= setTimeout(() => this.kill(), GRACE_MS)
  }

  kill(): void {
    this.#send('SIGKILL')
  }

  /**
   * When the command has ended: ends what it left behind, which may have been asked before by `asked`. Resolves when
   * there is nothing, or nothing more can be done.
   */
  async endRemains(asked: NodeJS.Signals | null): Promise<void> {
    const beganMs = performance.now()
    // Shells let what runs in their background ignore SIGINT.
    if (asked !== 'SIGTERM' && this.#isAnybodyThere()) this.askToEnd('SIGTERM')
    while (this.#isAnybodyThere()) {
      const tookMs = performance.now() - beganMs
      if (tookMs > 2 * GRACE_MS) break
      // Again and again: one that is killed may just have started another.
      if (tookMs > GRACE_MS) this.kill()
      await sleep(LOOK_AGAIN_MS)
    }
    if (this.#killTimer !== null) clearTimeout(this.#killTimer)
  }

  /** When nothing is left that would have to go with us. */
  close(): void {
    this.#watcher?.kill('SIGKILL')
  }

  #isAnybodyThere(): boolean {
    if (!hasProc) return this.#group !== null && sendSignal(-Number(this.#group), 0)
    return this.#members().length > 0
  }

  #send(signal: NodeJS.Signals): void {
    if (this.#child.pid === undefined) return
    if (this.#group !== null) sendSignal(-Number(this.#group), signal)
    else if (!hasProc) this.#child.kill(signal)
    for (const { pid, group } of this.#members()) if (group !== this.#group) sendSignal(Number(pid), signal)
  }

  /** Those in the command's own group, and those that bear the mark. */
  #members(): { readonly pid: string; readonly group: string }[] {
    return listOrEmpty('/proc').flatMap((pid) => {
      if (!/^\d+$/.test(pid)) return []
      const [state, , group = ''] = statFields(pid)
      if (state === undefined || state === '' || ENDED.has(state)) return []
      if (group !== this.#group && !readOrEmpty(`/proc/${pid}/environ`, 'latin1').includes(this.#mark))
        return []
      return [{ pid, group }]
    })
  }

  /** The group of processes that the command leads; null when it stayed in ours, or never was. */
  get #group(): string | null {
    return this.#onTerminal || this.#child.pid === undefined ? null : String(this.#child.pid)
  }
}

const hasProc = fs.existsSync('/proc/self/environ')

/** States of processes that only wait to be forgotten. */
const ENDED: ReadonlySet<string> = new Set(['Z', 'X'])

/**
 * Waits for the end of its standard input, which is ours. Then it ends the group of processes whose number it was told
 * and those with the mark ($1), and removes the directory ($2). The shell of every system is quicker there than Node.js.
 */
const WATCHER = `
while read -r line; do group=$line; done
mark=$1 directory=$2
marked() {
  grep -sl -F "$mark" /proc/[0-9]*/environ | while IFS=/ read -r _ _ pid _; do echo "$pid"; done
}
tell() {
  [ -z "$group" ] || kill -s "$1" -- "-$group"
  for pid in $(marked); do kill -s "$1" "$pid"; done
}
is_anybody_there() {
  [ -n "$(marked)" ] || { [ -n "$group" ] && kill -s 0 -- "-$group"; }
}
tell TERM
tell CONT
tries=0
while is_anybody_there && [ "$tries" -lt ${GRACE_MS / 100} ]; do
  sleep 0.1
  tries=$((tries + 1))
done
tell KILL
rm -rf -- "$directory"
`

function startWatcher(mark: string, directory: string): ChildProcess | null {
  if (process.platform === 'win32') return null
  const environment = { ...process.env }
  delete environment[MARK_VARIABLE]
  const watcher = spawn('/bin/sh', ['-c', WATCHER, 'samsa-run', mark, directory], {
    // Neither the terminal nor who signals our group may end it before its time.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
    cwd: '/',
    env: environment,
  })
  watcher.on('error', () => {})
  watcher.stdin.on('error', () => {})
  watcher.unref()
  return watcher
}

/** Whether there was somebody to get it. */
function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, signal)
    return true
  } catch {
    return false
  }
}

/** What follows the command's name in /proc/<pid>/stat: state, parent, group, session, terminal, its foreground group ... */
function statFields(pid: string): string[] {
  const stat = readOrEmpty(`/proc/${pid}/stat`, 'latin1')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}
