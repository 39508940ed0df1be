// gRPC of the pods' program, both ends: unary calls with a text each way, as protobuf has a message with one string in
// its first field. Copied into each pod beside app.ts, so it imports nothing else but Node.

import http2 from 'node:http2'

/** What a connection of HTTP/2 begins with. */
export const HTTP2_BEGINNING = 'PRI * HTTP/2.0\r\n'

const CONTENT_TYPE = 'application/grpc'
const MAX_MESSAGE_BYTES = 65_536
const STRING_IN_FIRST_FIELD = 0x0a
/** Whether it is compressed, and its length. */
const PREFIX_BYTES = 5
const STATUS = { ok: 0, invalidArgument: 3 } as const

/** Answers each call with the name of the pod and of the method. */
export function rpcServer(podName: string): http2.Http2Server {
  const server = http2.createServer()
  server.on('sessionError', () => {})
  server.on('stream', (stream, headers) => {
    stream.on('error', () => stream.destroy())
    if (!headers['content-type']?.startsWith(CONTENT_TYPE)) {
      stream.respond({ ':status': 415 }, { endStream: true })
      return
    }
    void collected(stream).then(request => answer(stream, request, `${podName} ${headers[':path']}`))
  })
  return server
}

function answer(stream: http2.ServerHttp2Stream, request: Buffer, text: string): void {
  if (stream.destroyed) return
  const asked = readFrame(request)
  stream.on('wantTrailers', () =>
    stream.sendTrailers({ 'grpc-status': String(asked === undefined ? STATUS.invalidArgument : STATUS.ok) }),
  )
  stream.respond({ ':status': 200, 'content-type': CONTENT_TYPE }, { waitForTrailers: true })
  stream.end(asked === undefined ? '' : frameOf(text))
}

export type RpcAnswer = { readonly status: number; readonly says: string }

/** @throws Error when the connection or the stream breaks */
export function callRpc(session: http2.ClientHttp2Session, method: string, timeoutMs: number): Promise<RpcAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RpcAnswer>()
  const stream = session.request({
    ':method': 'POST',
    ':path': method,
    'content-type': CONTENT_TYPE,
    te: 'trailers',
  })
  // Of a call that is refused at once, the first headers are the trailers.
  let status = -1
  let said = ''
  const notice = (headers: http2.IncomingHttpHeaders): void => {
    if (headers['grpc-status'] !== undefined) status = Number(headers['grpc-status'])
    if (headers['grpc-message'] !== undefined) said = decodeURIComponent(String(headers['grpc-message']))
  }
  stream.on('response', notice).on('trailers', notice).on('error', reject)
  stream.setTimeout(timeoutMs, () => stream.destroy(new Error('timed out')))
  void collected(stream).then(bytes => resolve({ status, says: readFrame(bytes) ?? said }), reject)
  stream.end(frameOf('axoneme'))
  return promise
}

async function collected(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of stream) {
    length += chunk.length
    if (length <= MAX_MESSAGE_BYTES) chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** @param text of fewer than 128 bytes */
function frameOf(text: string): Buffer {
  const bytes = Buffer.from(text).subarray(0, 127)
  const prefix = Buffer.alloc(PREFIX_BYTES)
  prefix.writeUInt32BE(bytes.length + 2, 1)
  return Buffer.concat([prefix, Buffer.of(STRING_IN_FIRST_FIELD, bytes.length), bytes])
}

/** @returns undefined when it is not one message of one short text */
function readFrame(bytes: Buffer): string | undefined {
  const body = bytes.subarray(PREFIX_BYTES)
  if (bytes.length < PREFIX_BYTES + 2 || bytes[0] !== 0 || bytes.readUInt32BE(1) !== body.length) return undefined
  if (body[0] !== STRING_IN_FIRST_FIELD || body[1] !== body.length - 2) return undefined
  return body.subarray(2).toString()
}
