// The pods that the object store holds. An object that is not valid leaves its last good version in force; the agent,
// which reads the same objects, reports the problems to users.

import { formatProblem, type ManifestObject, objectKey, type Problem } from '../../manifests/index.ts'
import type { ObjectChanges } from '../../sources/index.ts'
import { type PodManifest, readPodManifest } from './manifest.ts'

export class PodCollection {
  readonly #pods = new Map<string, PodManifest>()

  /** Objects of other kinds are left out. */
  apply({ put, deleted }: ObjectChanges): void {
    for (const object of deleted.filter(isPod)) this.#pods.delete(objectKey(object))
    for (const object of put.filter(isPod)) {
      const { pod, problems } = readPodManifest(object)
      if (pod) this.#pods.set(objectKey(object), pod)
      else for (const problem of problems.filter(isError)) process.stderr.write(`${formatProblem(problem)}\n`)
    }
  }

  pods(): PodManifest[] {
    return [...this.#pods.values()]
  }
}

const isPod = ({ apiVersion, kind }: ManifestObject): boolean => apiVersion === 'v1' && kind === 'Pod'
const isError = ({ severity }: Problem): boolean => severity === 'error'
