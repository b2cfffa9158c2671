/** Terminals for programs that behave differently on one. */
import { works } from './processes.ts'

/**
 * How to run a shell command on a terminal of its own: what is written to its standard input are key strokes, what
 * it prints comes to standard output, and its exit code is the command's. Null where script(1) of util-linux is not.
 */
export async function terminalCommand(): Promise<((command: string) => [string, ...string[]]) | null> {
  if (process.platform !== 'linux' || !(await works('script', ['-qec', 'true', '/dev/null']))) return null
  // Without exec a dash stays between, which the terminal's Ctrl-C ends with 130 whatever the command answers.
  return (command) => [
    'script',
    '--quiet',
    '--flush',
    '--return',
    '--command',
    `exec ${command}`,
    '/dev/null',
  ]
}
