/** Files of /proc: what they tell of may be gone, or be nobody's business, at any moment. */
import fs from 'node:fs'

export function readOrEmpty(path: string, encoding: BufferEncoding): string {
  try {
    return fs.readFileSync(path, encoding)
  } catch {
    return ''
  }
}

export function listOrEmpty(path: string): string[] {
  try {
    return fs.readdirSync(path)
  } catch {
    return []
  }
}
