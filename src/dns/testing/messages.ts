// Writes DNS messages for tests, well-formed and not: names are given as text with plain
// labels, records as what they hold. Nothing is compressed unless a test says where to.

/** 16 bits in network order. */
const word = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff]

/** Bytes of a name. @param pointTo ends it with a pointer instead of the root */
export function wireName(name: string, pointTo?: number): number[] {
  const labels = name.split('.').filter(label => label !== '')
  const bytes = labels.flatMap(label => [label.length, ...new TextEncoder().encode(label)])
  return [...bytes, ...(pointTo === undefined ? [0] : word(0xc000 | pointTo))]
}

export type MessageRecord = {
  readonly owner: readonly number[]
  readonly type: number
  readonly class?: number
  readonly ttl?: number
  readonly content: readonly number[]
}

export const TYPE = { A: 1, NS: 2, CNAME: 5, TXT: 16, AAAA: 28, OPT: 41 } as const
/** Where the name of the question begins, for records that point to it. */
export const QUESTION_NAME = 12

export type Message = {
  readonly id?: number
  readonly flags?: number
  /** Text of names, class INTERNET. */
  readonly questions?: readonly { readonly name: string; readonly type?: number }[]
  readonly answers?: readonly MessageRecord[]
  readonly additional?: readonly MessageRecord[]
  /** What the header says instead of the number of answers. */
  readonly answerCount?: number
}

export function message(given: Message): Uint8Array {
  const { questions = [], answers = [], additional = [] } = given
  const header = [given.id ?? 0x1234, given.flags ?? 0x0100, questions.length, given.answerCount ?? answers.length, 0]
  return Uint8Array.from([
    ...[...header, additional.length].flatMap(word),
    ...questions.flatMap(({ name, type }) => [...wireName(name), ...word(type ?? TYPE.A), ...word(1)]),
    ...[...answers, ...additional].flatMap(wireRecord),
  ])
}

function wireRecord({ owner, type, class: recordClass = 1, ttl = 60, content }: MessageRecord): number[] {
  const lifetime = [...word(Math.floor(ttl / 0x10000)), ...word(ttl)]
  return [...owner, ...word(type), ...word(recordClass), ...lifetime, ...word(content.length), ...content]
}

/** An address record. @param owner text, or the place in the message that it points to */
export function addressRecord(owner: string | number, content: readonly number[], ttl = 60): MessageRecord {
  return { owner: ownerOf(owner), type: content.length === 4 ? TYPE.A : TYPE.AAAA, ttl, content }
}

export function cnameRecord(owner: string | number, target: string, ttl = 60): MessageRecord {
  return { owner: ownerOf(owner), type: TYPE.CNAME, ttl, content: wireName(target) }
}

const ownerOf = (owner: string | number): number[] =>
  typeof owner === 'number' ? wireName('', owner) : wireName(owner)

/** The OPT record of EDNS. */
export function optRecord(flags = 0, version = 0): MessageRecord {
  return { owner: [0], type: TYPE.OPT, class: 4096, ttl: version * 0x10000 + flags, content: [] }
}
