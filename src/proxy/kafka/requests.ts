// What a client asks: each request is held until it is judged, and then goes on to the
// broker or is answered here. Of a request that is longer than HELD_BYTES the beginning
// is judged; its end is held back until all of it is, so that a broker never gets the
// whole of a request that is denied.

import {
  API_VERSIONS,
  capApiVersions,
  continuesSession,
  cutMetadata,
  denialCode,
  KAFKA_ERROR,
  type KafkaRequest,
  type Refusal,
  type RequestHeader,
  RequestReader,
  withoutSession,
  writeDenial,
  writeUnknownSession,
  writeUnsupportedApiVersions,
} from '../../kafka/index.ts'
import type { KnownFlow } from '../known-flows.ts'
import type { Answers, FromBroker } from './answers.ts'
import type { Report } from './events.ts'
import { type FrameHandler, lengthPrefix } from './frames.ts'
import type { HeldBytes } from './held-bytes.ts'
import type { Judged, KafkaRuleSets } from './judge.ts'

/** Of one request. Most batches of producers are less (batch.size is 16 KiB unless told otherwise). */
export const HELD_BYTES = 256 << 10
/** For the rest of a request that is held. Clients give up sooner themselves (request.timeout.ms is 30 s). */
const LATE_MS = 60_000

export type RequestsPort = {
  /** Its address. */
  readonly client: string
  /** What the kernel knows of the connection now. */
  findFlow(): KnownFlow | undefined
  toBroker(bytes: Uint8Array): void
  report(report: Report): void
  /** The connection is not to go on. */
  close(): void
}

type Frame = {
  readonly length: number
  readonly reader: RequestReader
  held: Uint8Array[]
  late?: NodeJS.Timeout
  heldBytes: number
  /** It is passed on unread, where everything may be said. */
  unread?: RequestHeader
  /** `passing`: its beginning is with the broker. `dropping`: it is denied, and read to its end for the answer. */
  state: 'held' | 'passing' | 'dropping'
  /** Given whatever the rest of it is. */
  answer?: Uint8Array | undefined
}

const FULL = 'too much is held of requests of its client, or of all'
const LATE = `the rest of the request did not come within ${LATE_MS / 1000} s`

export class Requests implements FrameHandler {
  readonly #port: RequestsPort
  readonly #sets: KafkaRuleSets
  readonly #answers: Answers
  readonly #held: HeldBytes
  #frame: Frame | undefined
  /** The client says what is not understood, and may: all goes on as it is. */
  #isRaw = false

  constructor(port: RequestsPort, sets: KafkaRuleSets, held: HeldBytes, answers: Answers) {
    this.#port = port
    this.#sets = sets
    this.#answers = answers
    this.#held = held
  }

  /** The connection is at its end. */
  abandon(): void {
    if (this.#frame) this.#release(this.#frame)
    this.#frame = undefined
  }

  /** All that came is read: the rest of what is held must come in time. */
  await(): void {
    const frame = this.#frame
    if (frame?.state !== 'held') return
    frame.late ??= setTimeout(() => {
      this.#held.late++
      this.#end({ verdict: 'ERROR', header: frame.reader.soFar?.header, flow: this.#port.findFlow(), reason: LATE })
    }, LATE_MS).unref()
  }

  get isRaw(): boolean {
    return this.#isRaw
  }

  begin(length: number): boolean {
    const reader = new RequestReader(length)
    this.#frame = { length, reader, held: [], heldBytes: 0, state: 'held' }
    const refusal = reader.push(new Uint8Array(0))
    return refusal ? this.#refused(this.#frame, refusal) : true
  }

  piece(bytes: Uint8Array): boolean {
    const frame = this.#frame
    if (!frame) return false
    if (frame.state !== 'dropping') {
      if (!this.#held.take(this.#port.client, bytes.length)) return this.#end({ verdict: 'ERROR', reason: FULL })
      frame.held.push(bytes)
      frame.heldBytes += bytes.length
    }
    if (frame.unread) {
      this.#forward(frame)
      return true
    }
    const refusal = frame.answer ? undefined : frame.reader.push(bytes)
    if (refusal) return this.#refused(frame, refusal)
    if (frame.reader.request || frame.state === 'dropping') return true
    if (frame.state === 'passing') this.#forward(frame)
    else if (frame.heldBytes > HELD_BYTES) return this.#judgeBeginning(frame)
    return true
  }

  end(): boolean {
    const frame = this.#frame
    if (!frame) return false
    const goesOn = this.#ended(frame)
    this.#release(frame)
    this.#frame = undefined
    return goesOn
  }

  #ended(frame: Frame): boolean {
    if (frame.answer) return this.#give(frame.answer)
    if (frame.unread) {
      const judged = { flow: this.#port.findFlow(), allowed: true, reason: 'its topics are not understood' }
      this.#expect(frame.unread, judged, { mayBeAbsent: true })
      return true
    }
    const { request } = frame.reader
    if (!request) return this.#refused(frame, { code: 'malformed', reason: 'it ends too early' })
    const judged = this.#sets.judge(this.#port.findFlow(), request)
    if (judged.allowed && frame.state !== 'dropping') return this.#allow(frame, request, judged)
    return (frame.state === 'held' && this.#allowPart(request, judged)) || this.#deny(frame, request, judged)
  }

  #judgeBeginning(frame: Frame): boolean {
    const { soFar } = frame.reader
    if (!soFar) return this.#refused(frame, { code: 'malformed', reason: 'its header is very long' })
    // The last name may be there in part.
    const subject = { ...soFar, topics: soFar.topics?.filter(topic => topic !== '') }
    const judged = this.#sets.judge(this.#port.findFlow(), subject)
    if (judged.allowed && !this.#isOfSession(soFar, judged)) {
      this.#endSession(frame, soFar, judged)
      this.#forward(frame)
    } else {
      frame.state = 'dropping'
      this.#release(frame)
    }
    return true
  }

  #allow(frame: Frame, request: KafkaRequest, judged: Judged): boolean {
    const { header, api, body } = request
    if (this.#isOfSession(request, judged)) {
      const reason = 'it relies on a Fetch session, whose topics were not judged'
      this.#port.report({
        verdict: 'DROPPED',
        header,
        judged,
        errorCode: KAFKA_ERROR.FETCH_SESSION_ID_NOT_FOUND,
        reason,
      })
      return this.#give(writeUnknownSession(header))
    }
    this.#endSession(frame, request, judged)
    this.#forward(frame)
    if (api.answered?.(body) === false) {
      this.#port.report({ verdict: 'FORWARDED', header, judged })
      return true
    }
    const isCapped = header.apiKey === API_VERSIONS && !this.#sets.isUnrestricted(judged.flow)
    const change = isCapped ? (answer: Uint8Array) => capApiVersions(answer, header.apiVersion) : undefined
    this.#expect(header, judged, { change })
    return true
  }

  /** Of topics that a client asks about it is told those that it may know. @returns whether there is such a part */
  #allowPart(request: KafkaRequest, { flow }: Judged): boolean {
    const { header } = request
    const judge = (topics: readonly string[]): Judged => this.#sets.judge(flow, { ...request, topics })
    if (!judge([]).allowed) return false
    const part = cutMetadata(request, topic => judge([topic]).allowed)
    if (!part) return false
    const errorCode = KAFKA_ERROR.TOPIC_AUTHORIZATION_FAILED
    if (part.denied.length > 0) this.#port.report({ verdict: 'DROPPED', header, judged: judge(part.denied), errorCode })
    this.#port.toBroker(part.request)
    this.#expect(header, judge(part.asked), { change: answer => part.cut(answer) })
    return true
  }

  #expect(header: RequestHeader, judged: Judged, how: Pick<FromBroker, 'change' | 'mayBeAbsent'>): void {
    const since = process.hrtime.bigint()
    this.#answers.expect({
      ...how,
      correlationId: header.correlationId,
      answered: isThere => {
        const latencyNs = isThere ? Number(process.hrtime.bigint() - since) : undefined
        this.#port.report({ verdict: 'FORWARDED', header, judged, latencyNs })
      },
    })
  }

  #deny(frame: Frame, request: KafkaRequest, judged: Judged): boolean {
    const { header, api, body } = request
    const isAnswered = api.answered?.(body) !== false
    this.#port.report({
      verdict: 'DROPPED',
      header,
      // What was allowed at its beginning and no more at its end, or the other way round, is denied.
      judged: { ...judged, allowed: false },
      errorCode: isAnswered ? denialCode(request) : undefined,
    })
    // The broker waits for the rest of a request that it must not get.
    if (frame.state === 'passing') return this.#close()
    return isAnswered ? this.#give(writeDenial(request)) : true
  }

  #give(answer: Uint8Array | undefined): boolean {
    if (!answer) return this.#close()
    this.#answers.give(answer)
    return true
  }

  /** It cannot be judged: it goes on only where nothing is to be judged. */
  #refused(frame: Frame, refusal: Refusal): boolean {
    const flow = this.#port.findFlow()
    if (this.#sets.isUnrestricted(flow)) {
      // Its length and its place among the requests are known, if no more of it.
      if (refusal.code === 'version' && refusal.header) frame.unread = refusal.header
      else this.#isRaw = this.#answers.makeRaw()
      if (frame.unread || this.#isRaw) this.#forward(frame)
      if (frame.unread) return true
      if (this.#isRaw) {
        this.#port.report({ verdict: 'FORWARDED', flow, reason: refusal.reason })
        return false
      }
    }
    if (refusal.header?.apiKey === API_VERSIONS && refusal.code === 'version' && frame.state === 'held') {
      frame.answer = writeUnsupportedApiVersions(refusal.header)
      frame.state = 'dropping'
      this.#release(frame)
      return true
    }
    return this.#end({ verdict: 'ERROR', header: refusal.header, flow, reason: refusal.reason })
  }

  #isOfSession(request: KafkaRequest, { flow }: Judged): boolean {
    return !this.#sets.isUnrestricted(flow) && continuesSession(request)
  }

  #endSession(frame: Frame, request: KafkaRequest, { flow }: Judged): void {
    if (this.#sets.isUnrestricted(flow) || frame.state !== 'held') return
    const patch = withoutSession(request)
    if (!patch) return
    const whole = Buffer.concat(frame.held)
    whole.set(patch.bytes, patch.offset)
    frame.held = [whole]
  }

  #forward(frame: Frame): void {
    if (frame.state === 'held') this.#port.toBroker(lengthPrefix(frame.length))
    for (const bytes of frame.held) this.#port.toBroker(bytes)
    this.#release(frame)
    frame.state = 'passing'
  }

  #release(frame: Frame): void {
    clearTimeout(frame.late)
    this.#held.give(this.#port.client, frame.heldBytes)
    frame.heldBytes = 0
    frame.held = []
  }

  #end(report: Report): false {
    this.#port.report(report)
    return this.#close()
  }

  #close(): false {
    this.#port.close()
    return false
  }
}
