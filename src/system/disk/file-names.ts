/** A file that is found again by its name when its descriptor was given back. */
export interface NamedFile {
  path: string
}

/** What the files in use are called now: a name may change, its own or that of its directory. */
export class FileNames {
  readonly #byDirectory = new Map<string, NamedFile[]>()

  add(file: NamedFile): void {
    const directory = directoryOf(file.path)
    const files = this.#byDirectory.get(directory)
    if (files === undefined) this.#byDirectory.set(directory, [file])
    else files.push(file)
  }

  remove(file: NamedFile): void {
    const directory = directoryOf(file.path)
    const files = this.#byDirectory.get(directory)
    const index = files?.indexOf(file) ?? -1
    if (files === undefined || index < 0) return
    files.splice(index, 1)
    if (files.length === 0) this.#byDirectory.delete(directory)
  }

  renamed(from: string, to: string): void {
    const within = this.#byDirectory.get(from)
    if (within !== undefined) {
      this.#byDirectory.delete(from)
      for (const file of within) {
        file.path = to + file.path.slice(from.length)
        this.add(file)
      }
    }
    const same = this.#byDirectory.get(directoryOf(from))?.filter(({ path }) => path === from) ?? []
    for (const file of same) {
      this.remove(file)
      file.path = to
      this.add(file)
    }
  }
}

function directoryOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}
