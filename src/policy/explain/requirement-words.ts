// Label requirements in the words of the manifests that they come from: `app = web`,
// `namespace = shop`, and beside it what a label set has instead.

import {
  formatRequirement,
  KEYS,
  type LabelSet,
  type LabelSource,
  matches,
  type Requirement,
  type Selector,
  selector,
} from '../../labels/index.ts'
import { nameWords } from '../model/name-selector.ts'

/** Those of the requirements that the labels do not meet. */
export function unmetRequirements({ requirements }: Selector, labels: LabelSet): Requirement[] {
  return requirements.filter(requirement => !matches(selector([requirement]), labels))
}

/** What an unmet requirement wants, and what the labels have. */
export function requirementWords(
  requirement: Requirement,
  labels: LabelSet,
): { readonly wants: string; readonly has: string } {
  const { source, key, operator, values } = requirement
  if (source === 'reserved') return { wants: reservedWords(requirement), has: endWords(labels) }
  if (source === 'cidr')
    return operator === 'Exists'
      ? { wants: `an address in ${key}`, has: 'another' }
      : { wants: `an address outside ${key}`, has: 'one inside' }
  if (source === 'fqdn') return nameRequirement(requirement, labels)
  if (source !== 'k8s' && source !== 'pod' && source !== 'any')
    return { wants: formatRequirement(requirement), has: endWords(labels) }
  // What is no pod has none of a pod's labels: to say so tells more than each label that it lacks.
  if (labels.values.get(`k8s:${KEYS.namespace}`) === undefined)
    return { wants: isNamespace(key) && operator === 'Exists' ? 'a pod' : wanted(requirement), has: endWords(labels) }
  const name = nameOf(key)
  const value = valueOf(labels, source, key)
  const has = value === undefined ? `no ${name}` : value === '' ? name : `${name} = ${value}`
  return { wants: operator === 'In' && values.length === 0 ? 'nobody' : wanted(requirement), has }
}

function nameRequirement(
  { key, operator }: Requirement,
  labels: LabelSet,
): { readonly wants: string; readonly has: string } {
  const what = `an address that was answered for ${nameWords(key)}`
  const own = labels.labels.filter(({ source }) => source === 'fqdn').map(label => nameWords(label.key))
  const has = own.length > 0 ? `one of ${own.join(', ')}` : endWords(labels)
  return { wants: operator === 'DoesNotExist' ? `none but ${what}` : what, has }
}

function wanted({ key, operator, values }: Requirement): string {
  const name = nameOf(key)
  if (operator === 'Exists') return name
  if (operator === 'DoesNotExist') return `no ${name}`
  if (values.length === 1) return `${name} ${operator === 'In' ? '=' : '≠'} ${values[0]}`
  return `${name} ${operator === 'In' ? 'in' : 'not in'} (${values.join(', ')})`
}

const isNamespace = (key: string): boolean => key === KEYS.namespace

function nameOf(key: string): string {
  if (isNamespace(key)) return 'namespace'
  if (key === KEYS.serviceAccount) return 'service account'
  if (key === KEYS.cluster) return 'cluster'
  if (key.startsWith(KEYS.namespaceLabelPrefix)) return `namespace label ${key.slice(KEYS.namespaceLabelPrefix.length)}`
  return key
}

function valueOf(labels: LabelSet, source: LabelSource | 'any', key: string): string | undefined {
  return labels.labels.find(label => label.key === key && (source === 'any' || label.source === source))?.value
}

const reservedWords = ({ key, operator }: Requirement): string =>
  operator === 'DoesNotExist' ? `not ${roleWords(key)}` : roleWords(key)

/** What somebody is, by its labels. */
function endWords(labels: LabelSet): string {
  const role = labels.labels.find(({ source }) => source === 'reserved')
  return role ? roleWords(role.key) : 'a pod'
}

function roleWords(key: string): string {
  if (key === 'host') return "the pod's own node"
  if (key === 'remote-node') return 'another node'
  return key.startsWith('world') ? 'an address outside the cluster' : key
}
