// The pods that the object folder holds, read again after every change of it.
import fs from 'node:fs'
import path from 'node:path'
import { parseAllDocuments } from 'yaml'
import type { PodManifest } from './manifest.ts'

export function watchPods(folder: string, onPods: (pods: readonly PodManifest[]) => void): void {
  const read = (): void => {
    const pods: PodManifest[] = []
    for (const file of fs.readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      if (!/\.(ya?ml|json)$/.test(file)) continue
      for (const document of parseAllDocuments(fs.readFileSync(path.join(folder, file), 'utf8'))) {
        const object = document.toJS()
        if (object?.kind !== 'Pod') continue
        const { metadata, spec, status } = object
        pods.push({
          namespace: metadata.namespace ?? 'default',
          name: metadata.name,
          labels: metadata.labels ?? {},
          annotations: metadata.annotations ?? {},
          spec,
          requestedAddresses: (status?.podIPs ?? []).map((p: { ip: string }) => p.ip),
        })
      }
    }
    onPods(pods)
  }
  let timer: NodeJS.Timeout | undefined
  fs.watch(folder, () => {
    clearTimeout(timer)
    timer = setTimeout(read, 20)
  })
  read()
}
