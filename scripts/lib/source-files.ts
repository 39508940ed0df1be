// The files that the checks look at: everything in the checkout that is written by hand. Reads folders, not git, so that it also
// works on an unpacked archive.

import { readdirSync } from 'node:fs'
import path from 'node:path'

const NOT_OURS = new Set(['node_modules', 'build', 'dist', '.git'])

/** Every file below `folder` except generated and foreign ones, as paths relative to it with `/`, sorted. */
export function listSourceFiles(folder: string, prefix = ''): string[] {
  return readdirSync(path.join(folder, prefix), { withFileTypes: true })
    .filter(entry => !NOT_OURS.has(entry.name))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(entry => {
      const name = path.posix.join(prefix, entry.name)
      if (entry.isDirectory()) return listSourceFiles(folder, name)
      return entry.isFile() ? [name] : []
    })
}
