// Lines of text out of a stream of bytes: what processes here say to each other is a
// line of JSON a message. A line is bounded, as whoever writes it may be broken.

const MAX_LINE_CHARACTERS = 64 << 20

/** Lines without their ends; an unfinished last one is not told. @throws RangeError for a line that never ends */
export async function* linesOf(stream: AsyncIterable<unknown> & { setEncoding(encoding: 'utf8'): unknown }) {
  stream.setEncoding('utf8')
  let rest: string[] = []
  let length = 0
  for await (const chunk of stream) {
    const [first = '', ...others] = (chunk as string).split('\n')
    rest.push(first)
    length += first.length
    if (length > MAX_LINE_CHARACTERS) throw new RangeError(`a line of more than ${MAX_LINE_CHARACTERS} characters`)
    const last = others.pop()
    if (last === undefined) continue
    yield rest.join('')
    yield* others
    rest = [last]
    length = last.length
  }
}
