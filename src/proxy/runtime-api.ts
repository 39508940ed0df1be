// HAProxy's runtime API (management.txt, "Unix Socket commands"): commands on a unix
// socket, one connection each, so that an answer is all that comes before its end. Here
// are only maps: lines are added to what is in force, or a whole map is exchanged at once.

import net from 'node:net'

/** HAProxy takes a command with its lines into one buffer (tune.bufsize, 16 KiB unless set). */
const MAX_COMMAND_BYTES = 12_000
const PATIENCE_MS = 5_000
const CREATED = /^New version created: (\d+)\s*$/

/** What HAProxy judges by is not known after this, so its supervisor ends it and starts it with everything. */
export class RuntimeApiError extends Error {
  override readonly name = 'RuntimeApiError'
  readonly code = 'RUNTIME_API'

  constructor(what: string) {
    super(`${what}; HAProxy is started again with all rule sets`)
  }
}

export type MapLine = { readonly key: string; readonly value: string }

export class RuntimeApi {
  readonly #socketPath: string

  constructor(socketPath: string) {
    this.#socketPath = socketPath
  }

  /** Adds lines to the map that is in force. @param map the file's path, which is its name. @throws RuntimeApiError */
  async addToMap(map: string, lines: Iterable<MapLine>): Promise<void> {
    await this.#add(map, `add map ${map}`, lines)
  }

  /** Puts other lines in the place of all that the map has: requests see the old map or the new one. @throws RuntimeApiError */
  async replaceMap(map: string, lines: Iterable<MapLine>): Promise<void> {
    const answer = await this.ask(`prepare map ${map}`)
    const [, version] = CREATED.exec(answer) ?? []
    if (version === undefined) throw new RuntimeApiError(`prepare map ${map}: ${answer.trim()}`)
    await this.#add(map, `add map @${version} ${map}`, lines)
    const committed = (await this.ask(`commit map @${version} ${map}`)).trim()
    if (committed !== '') throw new RuntimeApiError(`commit map ${map}: ${committed}`)
  }

  /** @returns what HAProxy answers. @throws RuntimeApiError when it does not */
  ask(command: string): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const fail = (what: string) => reject(new RuntimeApiError(`${command.slice(0, 60).split('\n')[0]}: ${what}`))
    let answer = ''
    const connection = net.connect(this.#socketPath, () => connection.write(`${command}\n`))
    connection.setTimeout(PATIENCE_MS, () => connection.destroy(new Error(`no answer in ${PATIENCE_MS} ms`)))
    connection.setEncoding('utf8')
    connection.on('data', text => {
      answer += text
    })
    connection.on('error', error => fail(error.message))
    connection.on('end', () => resolve(answer))
    connection.on('close', () => fail('the connection was closed'))
    return promise
  }

  async #add(map: string, command: string, lines: Iterable<MapLine>): Promise<void> {
    for (const payload of payloads(lines)) {
      const answer = (await this.ask(`${command} <<\n${payload}`)).trim()
      if (answer !== '') throw new RuntimeApiError(`add to map ${map}: ${answer}`)
    }
  }
}

/** Lines in portions that a command may have. The empty line that ends them comes with the command's own end. */
function* payloads(lines: Iterable<MapLine>): Generator<string> {
  let text = ''
  let bytes = 0
  for (const { key, value } of lines) {
    const line = `${key} ${value}\n`
    const size = Buffer.byteLength(line)
    if (bytes > 0 && bytes + size > MAX_COMMAND_BYTES) {
      yield text
      text = ''
      bytes = 0
    }
    text += line
    bytes += size
  }
  if (bytes > 0) yield text
}
