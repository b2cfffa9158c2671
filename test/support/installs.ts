/**
 * The clients that the interop tests bring from package registries, each into a directory of the cache. All give
 * null when they are missing and may not be fetched.
 */
import { join } from 'node:path'

import { cached, mayDownload } from './cache.ts'
import { runOrThrow, works } from './processes.ts'

/** The Python packages under test, with their versions; a change makes a new environment. */
const pythonRequirements = ['confluent-kafka==2.16.1', 'kafka-python==3.0.12']

/** The directory of the packages under test, for `PYTHONPATH`. */
export async function pythonPackages(): Promise<string | null> {
  const name = `python-${pythonRequirements.map((each) => each.replace('==', '-')).join('-')}`
  if (!(await works('python3', ['--version']))) return null
  const directory = await cached(name, mayDownload, async (work) => {
    // Not a virtual environment: those cannot be moved, and this directory is renamed when it is complete.
    await runOrThrow(
      'python3',
      [
        '-m',
        'pip',
        'install',
        '--quiet',
        '--disable-pip-version-check',
        '--target',
        join(work, 'packages'),
        ...pythonRequirements,
      ],
      { timeoutMs: 300_000 },
    )
  })
  return directory === null ? null : join(directory, 'packages')
}
