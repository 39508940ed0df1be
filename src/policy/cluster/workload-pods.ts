// Pods for the manifests of a repository, which holds Deployments and not pods: each
// workload stands for one pod made from its template, with the workload's name. Where
// pods of the workload are among the objects too, they speak for themselves.

import { type ManifestObject, namespaceOf, objectKey, type Path } from '../../manifests/index.ts'

type Fields = Readonly<Record<string, unknown>>

/** Where a kind keeps its pod template. */
const TEMPLATES: ReadonlyMap<string, Path> = new Map([
  ['apps/v1 Deployment', ['spec', 'template']],
  ['apps/v1 StatefulSet', ['spec', 'template']],
  ['apps/v1 DaemonSet', ['spec', 'template']],
  ['apps/v1 ReplicaSet', ['spec', 'template']],
  ['v1 ReplicationController', ['spec', 'template']],
  ['batch/v1 Job', ['spec', 'template']],
  ['batch/v1 CronJob', ['spec', 'jobTemplate', 'spec', 'template']],
])

/** Whether an object is of a kind that makes pods. */
export function isWorkload({ apiVersion, kind }: Pick<ManifestObject, 'apiVersion' | 'kind'>): boolean {
  return TEMPLATES.has(`${apiVersion} ${kind}`)
}

/** The objects, and behind them a pod for each workload that has none among them. */
export function withWorkloadPods(objects: readonly ManifestObject[]): ManifestObject[] {
  const pods = objects.filter(({ apiVersion, kind }) => apiVersion === 'v1' && kind === 'Pod')
  const taken = new Set(pods.map(objectKey))
  const made = objects.flatMap(object => {
    const pod = templatePod(object)
    if (!pod || taken.has(objectKey(pod)) || pods.some(each => isMadeFrom(each, pod))) return []
    taken.add(objectKey(pod))
    return [pod]
  })
  return [...objects, ...made]
}

function templatePod(object: ManifestObject): ManifestObject | undefined {
  const path = TEMPLATES.get(`${object.apiVersion} ${object.kind}`)
  const template = path?.reduce<unknown>((value, part) => fieldsOf(value)[part], object.content)
  if (!path || !isFields(template)) return undefined
  const labels = textsOf(fieldsOf(template['metadata'])['labels'])
  const annotations = textsOf(fieldsOf(template['metadata'])['annotations'])
  const metadata = { name: object.metadata.name, namespace: namespaceOf(object), labels, annotations }
  return {
    ...object,
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    content: { apiVersion: 'v1', kind: 'Pod', metadata, spec: template['spec'] },
    position: at => object.position([...path, ...at]),
  }
}

/** A pod of a workload has all labels of its template. */
function isMadeFrom(pod: ManifestObject, template: ManifestObject): boolean {
  const wanted = Object.entries(template.metadata.labels)
  if (wanted.length === 0 || namespaceOf(pod) !== namespaceOf(template)) return false
  return wanted.every(([key, value]) => pod.metadata.labels[key] === value)
}

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const fieldsOf = (value: unknown): Fields => (isFields(value) ? value : {})
const textsOf = (value: unknown): Record<string, string> =>
  Object.fromEntries(
    Object.entries(fieldsOf(value)).flatMap(([key, text]) => (typeof text === 'string' ? [[key, text]] : [])),
  )
