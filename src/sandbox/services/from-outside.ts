// What commands that work on a sandbox's objects see of its control plane: whether a Service would be admitted, whether it
// has been, and what the control plane has added. Reads the files; the daemon writes them.

import fs from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { type ManifestObject, objectKey, parseManifests } from '../../manifests/index.ts'
import { ADMITTED_ANNOTATION, fileNameOf, type ObjectCheck, type StoredObject } from '../../sources/index.ts'
import { parseConfiguration } from '../configuration.ts'
import { type SandboxPaths, sandboxPaths } from '../paths.ts'
import { ServiceAdmission } from './admission.ts'
import { versionOf } from './controller.ts'
import { isService } from './declared.ts'
import { mergedText } from './merged-text.ts'
import { rangesOf } from './ranges.ts'

const POLL_MS = 5
const PATIENCE_MS = 3_000

/** Refuses Services as the daemon of a sandbox will, so that their author is told at once. */
export function admissionCheck(sandbox: string): ObjectCheck {
  const paths = sandboxPaths(sandbox)
  let admission: ServiceAdmission | undefined
  return object => {
    if (!isService(object)) return []
    admission ??= currentAdmission(paths)
    return admission.admit(object).problems
  }
}

function currentAdmission(paths: SandboxPaths): ServiceAdmission {
  const { nodes } = parseConfiguration(fs.readFileSync(paths.configuration, 'utf8'))
  const admission = new ServiceAdmission(rangesOf(nodes.flatMap(node => node.podCidrs)))
  for (const service of clusterObjects(paths).filter(isService)) admission.admit(service)
  return admission
}

/**
 * Waits until the daemon has taken in Services that were applied or deleted.
 * @returns false when that takes longer than it should
 */
export async function whenServicesTaken(
  sandbox: string,
  {
    applied = [],
    deleted = [],
  }: { readonly applied?: readonly ManifestObject[]; readonly deleted?: readonly string[] },
): Promise<boolean> {
  const { cluster } = sandboxPaths(sandbox)
  const contentOf = (key: string): string => readIfThere(path.join(cluster, fileNameOf(key)))
  const isTaken = (): boolean =>
    applied.every(object => contentOf(objectKey(object)).includes(`"${ADMITTED_ANNOTATION}":"${versionOf(object)}"`)) &&
    deleted.every(key => contentOf(key) === '')
  const deadline = performance.now() + PATIENCE_MS
  while (!isTaken()) {
    if (performance.now() > deadline) return false
    await sleep(POLL_MS)
  }
  return true
}

/** Adds what the control plane says: what was allocated to Services, and objects of its own. */
export function withClusterObjects(sandbox: string, stored: readonly StoredObject[]): StoredObject[] {
  const all = new Map(stored.map(entry => [objectKey(entry.object), entry]))
  for (const object of clusterObjects(sandboxPaths(sandbox))) {
    const { [ADMITTED_ANNOTATION]: version, ...annotations } = object.metadata.annotations
    const declared = all.get(objectKey(object))
    if (version === undefined) {
      all.set(objectKey(object), { object, text: stringify(object.content) })
      continue
    }
    const metadata: Record<string, unknown> = { ...(object.content['metadata'] as object), annotations }
    if (Object.keys(annotations).length === 0) delete metadata['annotations']
    const content = { ...object.content, metadata }
    const text = declared ? mergedText(declared.text, content) : stringify(content)
    all.set(objectKey(object), { object: { ...object, content }, text })
  }
  return [...all].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry)
}

function clusterObjects({ cluster }: SandboxPaths): ManifestObject[] {
  if (!fs.existsSync(cluster)) return []
  return fs
    .readdirSync(cluster)
    .filter(name => name.endsWith('.yaml') && !name.startsWith('.'))
    .flatMap(name => parseManifests(readIfThere(path.join(cluster, name)), path.join(cluster, name)).objects)
}

/** A file may go while it is looked at. */
function readIfThere(file: string): string {
  try {
    return fs.readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ''
    throw error
  }
}
