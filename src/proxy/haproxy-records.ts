// HAProxy's lines as they come by `log-proto octet-count` (RFC 6587, 3.4.1): the length of
// each in decimal, a blank, the line. What a line says is for ./haproxy to read.

import type { L7Event } from '../tables/index.ts'
import type { RecordFormat } from './event-log.ts'

const BLANK = 0x20
const MOST_DIGITS = 7

/** @param eventOf undefined for what is no line of a request */
export function haproxyRecords(eventOf: (line: string) => L7Event | undefined): RecordFormat {
  return {
    measure(bytes) {
      let records = 0
      let end = 0
      for (const [, to] of frames(bytes)) {
        records++
        end = to
      }
      return { records, end }
    },
    lines(bytes) {
      const lines: string[] = []
      let unread = 0
      for (const [from, to] of frames(bytes)) {
        const event = eventOf(bytes.toString('utf8', from, to).trimEnd())
        if (event) lines.push(JSON.stringify(event))
        else unread++
      }
      if (unread > 0) lines.push(`{"missed":${unread}}`)
      return Buffer.from(`${lines.join('\n')}\n`)
    },
  }
}

/** Where each whole line is. @throws Error where no length stands */
function* frames(bytes: Buffer): Generator<readonly [from: number, to: number]> {
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(BLANK, at)
    if (blank < 0 ? bytes.length - at > MOST_DIGITS : blank - at > MOST_DIGITS)
      throw new Error('a line without its length')
    if (blank < 0) return
    const length = Number(bytes.toString('latin1', at, blank))
    if (!Number.isInteger(length)) throw new Error('a line without its length')
    const to = blank + 1 + length
    if (to > bytes.length) return
    yield [blank + 1, to]
    at = to
  }
}
