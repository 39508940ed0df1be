// A ClientHello for tests, well-formed or not (RFC 8446, 4.1.2; RFC 6066, 3).

/** The bytes after their number, in so many bytes. */
export function vector(size: number, ...parts: readonly (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map(part => Buffer.from(part as string)))
  const head = Buffer.alloc(size)
  head.writeUIntBE(content.length, 0, size)
  return Buffer.concat([head, content])
}

const number = (value: number, size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  bytes.writeUIntBE(value, 0, size)
  return bytes
}

export const extension = (type: number, content: Buffer): Buffer => Buffer.concat([number(type, 2), vector(2, content)])

export const serverNameExtension = (...names: readonly string[]): Buffer =>
  extension(0, vector(2, ...names.map(name => Buffer.concat([number(0, 1), vector(2, name)]))))

const SUPPORTED_VERSIONS = extension(43, vector(1, number(0x0304, 2)))

/** The handshake message. */
export function clientHello(...extensions: readonly Buffer[]): Buffer {
  const body = Buffer.concat([
    number(0x0303, 2),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 8)),
    vector(2, number(0x1301, 2)),
    vector(1, number(0, 1)),
    vector(2, SUPPORTED_VERSIONS, ...extensions),
  ])
  return Buffer.concat([number(1, 1), vector(3, body)])
}

/** In one record. */
export const record = (content: Buffer, type = 22): Buffer =>
  Buffer.concat([number(type, 1), number(0x0301, 2), vector(2, content)])
