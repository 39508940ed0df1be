// A client of HTTP/2 without TLS for tests. Each line on standard input is one request on
// the one connection, in JSON; the answer is a line of JSON when the request is over. With
// "held" for a second argument, bodies do not end, and an answer is told by its headers.

import http2 from 'node:http2'
import { createInterface } from 'node:readline'

export type Http2Request = {
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** It comes when the headers have long been there, or never: then the stream is cut. */
  readonly bodyIs?: 'late' | 'cut'
}
export type Http2Answer = {
  readonly headers: Readonly<Record<string, unknown>>
  readonly trailers?: Readonly<Record<string, unknown>>
  readonly body: string
  readonly error?: string
  /** Code with which the stream was reset. */
  readonly reset?: number
}

const LATE_MS = 200
const isHeld = process.argv[3] === 'held'
const session = http2.connect(process.argv[2] ?? '')
session.on('error', () => undefined)

createInterface(process.stdin).on('line', line => ask(JSON.parse(line) as Http2Request))
process.stdin.on('end', () => process.exit())

function ask({ headers, body, bodyIs }: Http2Request): void {
  const endStream = !isHeld && body === undefined && headers[':method'] !== 'CONNECT'
  const stream = session.request(headers, { endStream })
  const answer: { -readonly [Field in keyof Http2Answer]: Http2Answer[Field] } = { headers: {}, body: '' }
  stream.on('response', headers => {
    answer.headers = headers
    if (isHeld) tell()
    // A tunnel does not end by itself.
    if (headers[':protocol'] || headers[':method'] === 'CONNECT') stream.end()
  })
  stream.on('trailers', trailers => {
    answer.trailers = trailers
  })
  stream.on('data', (chunk: Buffer) => {
    answer.body += chunk.toString()
  })
  stream.on('error', error => {
    answer.error = error.message
  })
  const tell = (): unknown => process.stdout.write(`${JSON.stringify(answer)}\n`)
  if (!isHeld)
    stream.on('close', () => {
      if (stream.rstCode) answer.reset = stream.rstCode
      tell()
    })
  if (body === undefined) return
  if (!bodyIs) stream.end(body)
  else setTimeout(() => (bodyIs === 'late' ? stream.end(body) : stream.close(http2.constants.NGHTTP2_CANCEL)), LATE_MS)
}
