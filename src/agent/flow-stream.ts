// What `GET /v1/flows` answers: flows of packets and of requests in the order of their
// times, the newest that are kept and, where it is asked for, those to come.

import { ApiError, type RequestStatus, type Stream } from '../api/index.ts'
import {
  FLOW_FILTERS,
  type Flow,
  type FlowFilter,
  FlowFilterError,
  type FlowItem,
  flowTest,
  inTimeOrder,
  newestOf,
  type RequestObserver,
} from '../observe/index.ts'
import type { Observed } from '../observe/recent.ts'
import type { Sight } from './sight.ts'

/** @throws ApiError for a query that cannot be */
export function flowStream(sight: Sight, query: URLSearchParams, signal: AbortSignal): Stream {
  const last = lastOf(query)
  const isWanted = testOf(query)
  const { packets, requests, describePacket, describeRequest, complete } = sight
  return async send => {
    packets.poll()
    // All at one moment, so that no flow between the old ones and the new is lost or told twice.
    const following = query.has('follow')
      ? [inWords(packets.watch(signal), describePacket), inWords(requests.watch(signal), describeRequest)]
      : []
    const kept = [packets.newestFirst().map(describePacket), requests.newestFirst().map(describeRequest)]
    const newest = last > 0 ? newestOf(kept).filter(isWanted).take(last).toArray().reverse() : []
    for (const flow of newest) await send(complete(flow))
    for await (const item of inTimeOrder(following))
      if ('missed' in item) await send(item)
      else if (isWanted(item)) await send(complete(item))
  }
}

async function* inWords<Event>(
  observed: AsyncIterable<Observed<Event>>,
  describe: (event: Event) => Flow,
): AsyncGenerator<FlowItem> {
  for await (const item of observed) yield 'missed' in item ? item : describe(item.event)
}

/** How many of the newest flows are asked for. */
function lastOf(query: URLSearchParams): number {
  const text = query.get('last')
  if (text === null) return query.has('follow') ? 0 : 20
  if (!/^\d+$/.test(text)) throw new ApiError(400, 'BAD_REQUEST', `last must be a whole number, not "${text}"`)
  return Number(text)
}

function testOf(query: URLSearchParams): (flow: Flow) => boolean {
  const given = FLOW_FILTERS.flatMap(name => (query.has(name) ? [[name, query.get(name)]] : []))
  try {
    return flowTest(Object.fromEntries(given) as FlowFilter)
  } catch (error) {
    if (error instanceof FlowFilterError) throw new ApiError(400, error.code, error.message, error)
    throw error
  }
}

export function requestStatus(requests: RequestObserver): RequestStatus {
  return { received: requests.received, lost: requests.lost, counts: requests.counts() }
}
