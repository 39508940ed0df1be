// What the readers of plain documents have in common (json.ts, plain-yaml.ts): what they
// leave to the reader of all of YAML, and how they give up.

import type { YamlDocument, YamlPosition } from './yaml.ts'

/** Tabs, lone line ends, control characters: YAML has rules of its own for them. */
const UNPLAIN = /[^\n\x20-\x7e\xa1-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]/

/** A value, and where it stands. */
export type PlainRead = { readonly value: unknown; readonly position: YamlPosition }

/** Most of a document: what has more is left to the reader that says so. */
export type PlainLimits = { readonly depth: number; readonly values: number }

/** Thrown by a reader to end reading at once: the text is not plain, which is not to say that it is wrong. */
export class NotPlain extends Error {}

/** @returns undefined where `read` gives up, or does not get to read */
export function readPlain(text: string, read: () => PlainRead): YamlDocument | undefined {
  if (UNPLAIN.test(text)) return undefined
  try {
    return { ...read(), problems: [] }
  } catch (error) {
    if (error instanceof NotPlain) return undefined
    throw error
  }
}
