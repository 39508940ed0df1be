// Health checks for load balancers, put together: a server for each service that has a
// healthCheckNodePort, and what is wrong with them among the problems.

import { healthServerOperations } from '../reconcilers/index.ts'
import { type ReconcileFailure, Reconciler } from '../state/index.ts'
import { objectKey, type Tables } from '../tables/index.ts'

/** @param addresses of the node, canonical */
export function createHealthChecks(
  tables: Tables,
  addresses: readonly string[],
  onFailure: (failure: ReconcileFailure) => void,
) {
  const { database, serviceHealth, services, problems } = tables
  return new Reconciler({
    name: 'service-health',
    database,
    table: serviceHealth,
    onFailure,
    operations: healthServerOperations({
      addresses,
      tell(health, message) {
        const key = objectKey(health)
        const id = `service-health ${key}`
        const { file, line } = services.get(key)?.origin ?? { file: '', line: 0 }
        database.write(tx => {
          if (message === undefined) tx.delete(problems, id)
          else tx.put(problems, { id, severity: 'error', object: `Service ${key}`, message, file, line, column: 1 })
        })
      },
    }),
  })
}
