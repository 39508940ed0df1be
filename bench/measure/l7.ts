// What it costs that calls of APIs are judged, and how soon a rule is in force: HTTP, DNS and Kafka through the proxy of a
// node, against the same between pods whose connections go straight, in turns.

import type { Section } from '../harness/result.ts'
import { type L7Node, startL7Node } from '../testbed/l7-node.ts'
import { measureL7Changes } from './l7-changes.ts'
import { measureL7Dns } from './l7-dns.ts'
import { measureL7Endurance } from './l7-endurance.ts'
import { measureL7Http, measureL7HttpUntold } from './l7-http.ts'
import { measureL7Kafka } from './l7-kafka.ts'
import type { Context } from './measurement.ts'

/** By their names, in this order, all in one sandbox. */
const IN_ONE_SANDBOX: Readonly<Record<string, (node: L7Node, context: Context) => Promise<Section>>> = {
  'l7-http': measureL7Http,
  'l7-endurance': measureL7Endurance,
  'l7-dns': measureL7Dns,
  'l7-kafka': measureL7Kafka,
  // Last: each change leaves the proxy a set of rules for a minute.
  'l7-changes': measureL7Changes,
}
const UNTOLD = 'l7-http-untold'

export const L7_PARTS: readonly string[] = [...Object.keys(IN_ONE_SANDBOX), UNTOLD]

/** @param isWanted whether a part is, by its name */
export async function measureL7(context: Context, isWanted: (name: string) => boolean): Promise<Section[]> {
  const wanted = Object.entries(IN_ONE_SANDBOX).filter(([name]) => isWanted(name))
  const sections: Section[] = []
  if (wanted.length > 0) {
    await using owned = new AsyncDisposableStack()
    const node = await startL7Node(owned, context)
    for (const [, measure] of wanted) sections.push(await measure(node, context))
  }
  if (isWanted(UNTOLD)) {
    await using owned = new AsyncDisposableStack()
    const node = await startL7Node(owned, { ...context, proxyArguments: ['--http-events', 'denied'] })
    sections.push(await measureL7HttpUntold(node, context))
  }
  return sections
}
