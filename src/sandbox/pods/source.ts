// The pods that the object store holds, as a manifest source delivers them. An object that is not valid leaves its last
// good version in force; the agent, which reads the same objects, reports the problems to users.

import { formatProblem, type ManifestObject, objectKey, type Problem } from '../../manifests/index.ts'
import { FileSource } from '../../sources/index.ts'
import { type PodManifest, readPodManifest } from './manifest.ts'

/** Calls back with all pods, at first and after every change, until the signal is aborted. */
export function watchPods(
  folders: readonly string[],
  onPods: (pods: readonly PodManifest[]) => void,
  signal: AbortSignal,
): Promise<void> {
  const collection = new PodCollection()
  const deliver = (): void => onPods(collection.pods())
  return new FileSource(folders).run(
    {
      apply: ({ put, deleted }) => {
        collection.apply(put, deleted)
        deliver()
      },
      report: () => {},
      initialized: deliver,
    },
    signal,
  )
}

export class PodCollection {
  readonly #pods = new Map<string, PodManifest>()

  apply(put: readonly ManifestObject[], deleted: readonly ManifestObject[]): void {
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
