// One look at a file: its text, or why there is none, and what manifests that is. Never
// throws.

import fs from 'node:fs'
import { type DocumentCache, type ParsedManifests, type Problem, parseManifestsInSteps } from '../manifests/index.ts'

export type Look =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly reason: string }

/** A character takes at most four bytes of UTF-8, so that parseManifests has the say on the size of texts. */
const MAX_FILE_BYTES = 16 * 1024 * 1024

export function lookAt(file: string): Look {
  try {
    const stat = fs.statSync(file, { throwIfNoEntry: false })
    if (!stat) return { kind: 'missing' }
    if (!stat.isFile()) return { kind: 'unreadable', reason: 'is not a regular file' }
    if (stat.size > MAX_FILE_BYTES) return { kind: 'unreadable', reason: `is larger than ${MAX_FILE_BYTES} bytes` }
    const bytes = fs.readFileSync(file)
    const text = decodeUtf8(bytes)
    return text === undefined ? { kind: 'unreadable', reason: 'is not UTF-8 text' } : { kind: 'text', text }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    return code === 'ENOENT' ? { kind: 'missing' } : { kind: 'unreadable', reason: `cannot be read: ${code}` }
  }
}

function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    // The only error that it knows: a byte sequence that is not UTF-8.
    return undefined
  }
}

/** A document at a step. Undefined: there is no file. */
export function* parsedOf(
  file: string,
  look: Look,
  cache: DocumentCache,
): Generator<undefined, ParsedManifests | undefined> {
  switch (look.kind) {
    case 'missing':
      return undefined
    case 'text':
      return yield* parseManifestsInSteps(look.text, file, cache)
    case 'unreadable': {
      const problem: Problem = { severity: 'error', message: look.reason, file, line: 1, column: 1 }
      return { objects: [], problems: [problem], refused: [], complete: false }
    }
  }
}

/** Differs when the file does. */
export function signatureOf(file: string): string {
  try {
    const stat = fs.statSync(file, { throwIfNoEntry: false })
    return stat ? [stat.dev, stat.ino, stat.size, stat.mtimeMs, stat.ctimeMs].join(':') : 'missing'
  } catch (error) {
    return String(error)
  }
}
