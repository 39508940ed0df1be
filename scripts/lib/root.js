// Where the checkout is, from anywhere.

import path from 'node:path'
import { fileURLToPath } from 'node:url'

/** Absolute path of the repository's top folder. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..')
