import { strict as assert } from 'node:assert'
import type { SimDiskImage } from '../sim-disk-image.ts'

/** What each file of a directory held. */
export type Backup = ReadonlyMap<string, Buffer>

export function backUp(image: SimDiskImage, path: string): Backup {
  const files = new Map<string, Buffer>()
  const visit = (at: string): void => {
    const node = image.find(at)
    assert(node !== null, `${at} is not there`)
    if (node.kind === 'file') files.set(at, Buffer.from(node.cached.all()))
    else for (const name of node.cached.keys()) visit(`${at}/${name}`)
  }
  visit(path)
  return files
}

/** The directory is what it was, and all that came since is gone. Of a machine whose processes are dead. */
export function restore(image: SimDiskImage, path: string, backup: Backup): void {
  image.remove(path)
  for (const [file, bytes] of backup) {
    image.makeDurableDirectory(file.slice(0, file.lastIndexOf('/')))
    image.createFile(file).write(0, bytes, true)
  }
  image.makeDurableDirectory(path)
}
