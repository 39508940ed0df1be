// Reads what has reached a server as the strictest server would: RFC 9112 without one of the
// liberties that it leaves to recipients. What is read like this can be read in no other
// way. HAProxy writes names of headers in lower case, and so must they be.

import assert from 'node:assert/strict'

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const REQUEST_LINE = new RegExp(String.raw`^${TOKEN} (?:/[\x21-\x7e]*|\*) HTTP/1\.[01]$`)
/** No fold, no blanks around the value, no control characters. */
const HEADER =
  /^([!#$%&'*+.^_`|~0-9a-z-]+): ((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)$/
const HEAD_END = '\r\n\r\n'

/** Throws at what is not canonical. The body of the last may be there only in part. @returns method and target of each request */
export function readStrictly(bytes: string): string[] {
  const targets: string[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(HEAD_END, at)
    // A head is sent as a whole.
    assert.ok(end > at, `a head that does not end: ${JSON.stringify(bytes.slice(at))}`)
    const { target, headers } = readHead(bytes.slice(at, end))
    targets.push(target)
    at = endOfBody(bytes, end + HEAD_END.length, headers) ?? bytes.length
  }
  return targets
}

function readHead(head: string): { target: string; headers: Map<string, string> } {
  const [line = '', ...lines] = head.split('\r\n')
  assert.match(line, REQUEST_LINE)
  const headers = new Map<string, string>()
  for (const text of lines) {
    const [, name = '', value = ''] = HEADER.exec(text) ?? assert.fail(`no header: ${JSON.stringify(text)}`)
    const once = ['host', 'content-length', 'transfer-encoding'].includes(name)
    assert.ok(!once || !headers.has(name), `${name} twice`)
    headers.set(name, value)
  }
  assert.ok(!line.endsWith('1.1') || headers.has('host'), 'no host')
  return { target: line.slice(0, line.lastIndexOf(' ')), headers }
}

/** Undefined: it has not come whole. */
function endOfBody(bytes: string, start: number, headers: ReadonlyMap<string, string>): number | undefined {
  const length = headers.get('content-length')
  const encoding = headers.get('transfer-encoding')
  assert.ok(length === undefined || encoding === undefined, 'two ways to end a body')
  if (length !== undefined) assert.match(length, /^[0-9]+$/)
  if (encoding === undefined) return start + Number(length ?? 0)
  assert.equal(encoding, 'chunked')
  return endOfChunks(bytes, start)
}

function endOfChunks(bytes: string, start: number): number | undefined {
  for (let at = start; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n', at)
    if (end < 0) return undefined
    const size = bytes.slice(at, end)
    assert.match(size, /^[0-9A-Fa-f]+$/, 'a size of a chunk with more')
    const length = Number.parseInt(size, 16)
    if (length === 0) return endOfTrailers(bytes, end + 2)
    at = end + 2 + length
    if (at + 2 <= bytes.length) assert.equal(bytes.slice(at, at + 2), '\r\n', 'a chunk of another length')
    at += 2
  }
  return undefined
}

function endOfTrailers(bytes: string, start: number): number | undefined {
  for (let at = start; at < bytes.length; ) {
    const end = bytes.indexOf('\r\n', at)
    if (end < 0) return undefined
    if (end === at) return end + 2
    assert.match(bytes.slice(at, end), HEADER, 'no trailer')
    at = end + 2
  }
  return undefined
}
