// Policies of one namespace in few words, for tests that set them by hand.

import {
  inNamespace,
  type LabelSet,
  PROTOCOLS,
  parseLabelSet,
  podLabels,
  podRequirements,
  selector,
} from '../../../labels/index.ts'
import { precedence } from '../../model/precedence.ts'
import type { Direction, Peer, Policy, PortMatch, Rule } from '../../model/rule.ts'
import type { Subject } from '../subject.ts'

export const TCP = PROTOCOLS.TCP

export const labelsOf = (text: string): LabelSet => parseLabelSet(text) as LabelSet
export const pod = (labels: Record<string, string>, namespace = 'shop'): LabelSet =>
  podLabels({ namespace, namespaceLabels: {}, labels })
export const subject = (app: string, namedPorts: Subject['namedPorts'] = []): Subject => ({
  labels: pod({ app }),
  namedPorts,
})
export const app = (name: string): Peer => ({
  kind: 'selector',
  selector: selector([inNamespace('shop'), ...podRequirements({ matchLabels: { app: name } })]),
})
export const block = (cidr: string, except: string[] = []): Peer => ({
  kind: 'cidr',
  cidr,
  except,
  covers: 'everything',
})
export const inGroup = (name: string): Peer => ({ kind: 'cidr-group', group: { name }, except: ['10.1.0.0/16'] })
export const port = (number: number): PortMatch => ({ protocol: TCP, ports: { first: number, last: number } })

export type RuleSketch = { direction?: Direction; peers?: Rule['peers']; ports?: Rule['ports'] }

/** A policy of namespace `shop` that selects one app, or all, and isolates the directions it has rules for. */
export function policy(name: string, selects: string | undefined, ...sketches: readonly RuleSketch[]): Policy {
  const ref = { kind: 'Test', namespace: 'shop', name, origin: { file: `${name}.yaml`, line: 1 } }
  const rules = sketches.map(({ direction = 'ingress', peers = 'any', ports = 'any' }, index): Rule => {
    const path = `${direction}[${index}]`
    return {
      key: `Test/shop/${name}/${path}`,
      policy: ref,
      path,
      origin: { file: `${name}.yaml`, line: index + 10 },
      direction,
      index,
      action: 'allow',
      tier: 'normal',
      precedence: precedence({ tier: 'normal', action: 'allow' }),
      peers,
      ports,
    }
  })
  const isolates = {
    ingress: rules.some(r => r.direction === 'ingress'),
    egress: rules.some(r => r.direction === 'egress'),
  }
  const requirements = [inNamespace('shop'), ...podRequirements(selects ? { matchLabels: { app: selects } } : {})]
  return { ref, specs: [{ subject: selector(requirements), isolates, rules }] }
}

/** The policy as one to try out. */
export function tried({ ref, specs }: Policy): Policy {
  const rulesOf = (rules: readonly Rule[]): Rule[] => rules.map(rule => ({ ...rule, audit: true }))
  return { ref, specs: specs.map(spec => ({ ...spec, audit: true, rules: rulesOf(spec.rules) })) }
}
