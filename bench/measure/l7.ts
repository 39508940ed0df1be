// What it costs that calls of APIs are judged, and how soon a rule is in force: HTTP, DNS and Kafka through the proxy of a
// node, against the same between pods whose connections go straight, in turns.

import type { Section } from '../harness/result.ts'
import { startL7Node } from '../testbed/l7-node.ts'
import { measureL7Changes } from './l7-changes.ts'
import { measureL7Endurance } from './l7-endurance.ts'
import { measureL7Http } from './l7-http.ts'
import type { Context } from './measurement.ts'

export async function measureL7(context: Context): Promise<Section[]> {
  await using owned = new AsyncDisposableStack()
  const node = await startL7Node(owned, context)
  return [
    await measureL7Http(node, context),
    await measureL7Changes(node, context),
    await measureL7Endurance(node, context),
  ]
}
