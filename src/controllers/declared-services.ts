// Services as far as policies refer to them, followed row by row: where no policy names a
// service, a change of it costs next to nothing and is no change of policies.

import { type NamedPeers, policyService } from '../policy/index.ts'
import type { Change, Waitable, Watcher } from '../state/index.ts'
import { type EndpointSlice, objectKey, type Service, type Tables } from '../tables/index.ts'

type ServiceTables = Pick<Tables, 'services' | 'endpointSlices' | 'policies'>

export class DeclaredServices {
  readonly #tables: ServiceTables
  readonly #services: NamedPeers['services']
  readonly #watchers: readonly [Watcher<Service>, Watcher<EndpointSlice>]
  /** Whether `#services` is what the tables say; not so while no policy refers to services. */
  #isFilled = false

  /** @param services kept as the tables have them while any policy refers to services, and empty else */
  constructor(tables: ServiceTables, services: NamedPeers['services']) {
    this.#tables = tables
    this.#services = services
    this.#watchers = [tables.services.watch(), tables.endpointSlices.watch()]
  }

  get watchers(): readonly Waitable[] {
    return this.#watchers
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close()
  }

  /** Takes in what has changed. @returns whether it is a change for any policy */
  take(): boolean {
    const [services, slices] = this.#watchers
    const changed = new Set([...services.take().flatMap(keysOfService), ...slices.take().flatMap(keysOfSlice)])
    const referring = this.#tables.policies.all().filter(({ rules }) => this.#services.isReferring(rules))
    if (referring.length === 0) {
      this.#services.clear()
      this.#isFilled = false
      return false
    }
    const keys = this.#isFilled ? changed : this.#tables.services.all().map(objectKey)
    this.#isFilled = true
    const touched = Array.from(keys, key => this.#read(key)).flat()
    return touched.some(service => referring.some(({ rules }) => this.#services.refersTo(rules, service)))
  }

  /** @returns the versions of the service, before and after, where they differ */
  #read(key: string) {
    const { services, endpointSlices } = this.#tables
    const row = services.get(key)
    const [namespace = '', name = ''] = key.split('/')
    const before = this.#services.get({ namespace, name })
    if (!row) {
      this.#services.delete({ namespace, name })
      return before ? [before] : []
    }
    const after = policyService(row, () => endpointSlices.by('service', key))
    if (!this.#services.set(after)) return []
    return before ? [before, after] : [after]
  }
}

const keysOfService = ({ key }: Change<Service>): string[] => [key]

const keysOfSlice = (change: Change<EndpointSlice>): string[] =>
  [change.previous, change.kind === 'put' ? change.row : undefined].flatMap(slice => {
    return slice?.service === undefined ? [] : [objectKey({ namespace: slice.namespace, name: slice.service })]
  })
