// Which pods of a Deployment to make and to delete next, such that enough are ready and not too many are there. Pure: what
// it says depends on the pods as they are, and is asked for again whenever they differ. Semantics: kubernetes
// pkg/controller/deployment (rolling.go, recreate.go).

export type RolloutPlan = {
  readonly replicas: number
  /** Pods beyond the replicas while they are replaced. */
  readonly maxSurge: number
  /** Pods that may be missing while they are replaced. */
  readonly maxUnavailable: number
  /** All old ones go before the first new one comes. */
  readonly recreate: boolean
}

export type Replica = {
  readonly name: string
  /** Made from the template as it is now. */
  readonly current: boolean
  readonly ready: boolean
  /** Deleted already, and still there. */
  readonly terminating: boolean
}

export type Steps = { readonly create: number; readonly delete: readonly string[] }

export function nextSteps(plan: RolloutPlan, replicas: readonly Replica[]): Steps {
  const here = replicas.filter(({ terminating }) => !terminating)
  const current = here.filter(replica => replica.current)
  const old = here.filter(replica => !replica.current)
  // Those that nobody uses yet go first.
  const surplus = unreadyFirst(current).slice(0, Math.max(0, current.length - plan.replicas))
  if (plan.recreate) {
    const isEmpty = old.length === 0 && !replicas.some(replica => !replica.current)
    return { create: isEmpty ? Math.max(0, plan.replicas - current.length) : 0, delete: namesOf([...old, ...surplus]) }
  }
  const room = plan.replicas + plan.maxSurge - here.length
  const create = Math.max(0, Math.min(plan.replicas - current.length, old.length > 0 ? room : Infinity))
  const kept = current.filter(replica => !surplus.includes(replica))
  return { create, delete: namesOf([...surplus, ...dispensable(plan, kept, old)]) }
}

/** Old pods that can go: those that are not ready, and as many others as leave enough that are. */
function dispensable(plan: RolloutPlan, current: readonly Replica[], old: readonly Replica[]): Replica[] {
  const ready = [...current, ...old].filter(replica => replica.ready).length
  const spare = Math.max(0, ready - (plan.replicas - plan.maxUnavailable))
  const idle = old.filter(replica => !replica.ready)
  return [...idle, ...old.filter(replica => replica.ready).slice(0, spare)]
}

const unreadyFirst = (replicas: readonly Replica[]): Replica[] =>
  replicas.toSorted((a, b) => Number(a.ready) - Number(b.ready))

const namesOf = (replicas: readonly Replica[]): string[] => replicas.map(({ name }) => name)
