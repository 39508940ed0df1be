// The CustomResourceDefinitions of the policy kinds that Kubernetes does not have by
// itself, made of the schemas that their objects are read with.

import type * as z from 'zod'
import { CILIUM_CIDR_GROUP_KIND } from '../kinds/cilium/cidr-group.ts'
import {
  CILIUM_CLUSTERWIDE_NETWORK_POLICY_KIND,
  CILIUM_NETWORK_POLICY_API,
  CILIUM_NETWORK_POLICY_KIND,
} from '../kinds/cilium/network-policy.ts'
import {
  ciliumCidrGroupSchema,
  ciliumClusterwideNetworkPolicySchema,
  ciliumNetworkPolicySchema,
} from '../kinds/cilium/policy-schema.ts'
import { CLUSTER_NETWORK_POLICY_API, CLUSTER_NETWORK_POLICY_KIND } from '../kinds/kubernetes/cluster-network-policy.ts'
import { clusterNetworkPolicySchema } from '../kinds/kubernetes/cluster-network-policy-schema.ts'
import { describeField } from './descriptions.ts'
import { type StructuralSchema, structuralSchema } from './structural.ts'

/** A manifest of apiextensions.k8s.io/v1, as plain values. */
export type CustomResourceDefinition = {
  readonly apiVersion: 'apiextensions.k8s.io/v1'
  readonly kind: 'CustomResourceDefinition'
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> }
  readonly spec: {
    readonly group: string
    readonly scope: 'Cluster' | 'Namespaced'
    readonly names: {
      readonly kind: string
      readonly listKind: string
      readonly plural: string
      readonly singular: string
      readonly shortNames: readonly string[]
      readonly categories?: readonly string[]
    }
    readonly versions: readonly [
      {
        readonly name: string
        readonly served: true
        readonly storage: true
        readonly schema: { readonly openAPIV3Schema: StructuralSchema }
        readonly subresources: { readonly status: Readonly<Record<string, never>> }
        readonly additionalPrinterColumns: readonly PrinterColumn[]
      },
    ]
  }
}

type PrinterColumn = { readonly name: string; readonly type: string; readonly jsonPath: string }

type Resource = {
  readonly kind: string
  readonly apiVersion: string
  readonly scope: 'Cluster' | 'Namespaced'
  readonly plural: string
  readonly shortNames: readonly string[]
  readonly categories?: readonly string[]
  readonly annotations?: Readonly<Record<string, string>>
  readonly columns: readonly PrinterColumn[]
  readonly description: string
  readonly schema: z.ZodType
}

const AGE: PrinterColumn = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' }

const VALID: PrinterColumn = {
  name: 'Valid',
  type: 'string',
  jsonPath: '.status.conditions[?(@.type=="Valid")].status',
}

const RESOURCES: readonly Resource[] = [
  {
    kind: CILIUM_NETWORK_POLICY_KIND,
    apiVersion: CILIUM_NETWORK_POLICY_API,
    scope: 'Namespaced',
    plural: 'ciliumnetworkpolicies',
    shortNames: ['cnp', 'ciliumnp'],
    categories: ['cilium', 'ciliumpolicy'],
    columns: [AGE, VALID],
    description: 'A policy for pods of its namespace.',
    schema: ciliumNetworkPolicySchema,
  },
  {
    kind: CILIUM_CLUSTERWIDE_NETWORK_POLICY_KIND,
    apiVersion: CILIUM_NETWORK_POLICY_API,
    scope: 'Cluster',
    plural: 'ciliumclusterwidenetworkpolicies',
    shortNames: ['ccnp'],
    categories: ['cilium', 'ciliumpolicy'],
    columns: [AGE, VALID],
    description: 'A policy for pods of every namespace, or for nodes.',
    schema: ciliumClusterwideNetworkPolicySchema,
  },
  {
    kind: CILIUM_CIDR_GROUP_KIND,
    apiVersion: CILIUM_NETWORK_POLICY_API,
    scope: 'Cluster',
    plural: 'ciliumcidrgroups',
    shortNames: ['ccg'],
    categories: ['cilium'],
    columns: [AGE],
    description: 'A list of prefixes that policies refer to by its name or labels.',
    schema: ciliumCidrGroupSchema,
  },
  {
    kind: CLUSTER_NETWORK_POLICY_KIND,
    apiVersion: CLUSTER_NETWORK_POLICY_API,
    scope: 'Cluster',
    plural: 'clusternetworkpolicies',
    shortNames: ['cnp'],
    // The API server takes a group of Kubernetes' own only with the place where its API was approved.
    annotations: {
      'api-approved.kubernetes.io': 'https://github.com/kubernetes-sigs/network-policy-api/pull/300',
    },
    columns: [
      { name: 'Tier', type: 'string', jsonPath: '.spec.tier' },
      { name: 'Priority', type: 'integer', jsonPath: '.spec.priority' },
      AGE,
    ],
    description: "A policy of the cluster's administrators, before or after those of namespaces.",
    schema: clusterNetworkPolicySchema,
  },
]

/** The definitions of all kinds, or of those that are named, by kind or plural in any case. @throws RangeError naming an unknown one */
export function customResourceDefinitions(names: readonly string[] = []): CustomResourceDefinition[] {
  const known =
    (name: string) =>
    ({ kind, plural }: Resource) =>
      [kind.toLowerCase(), plural].includes(name.toLowerCase())
  const unknown = names.find(name => !RESOURCES.some(known(name)))
  if (unknown !== undefined)
    throw new RangeError(`there is no ${unknown}; there are ${RESOURCES.map(({ kind }) => kind).join(', ')}`)
  return RESOURCES.filter(resource => names.length === 0 || names.some(name => known(name)(resource))).map(definitionOf)
}

function definitionOf(resource: Resource): CustomResourceDefinition {
  const { kind, apiVersion, scope, plural, shortNames, categories, annotations, columns } = resource
  const [group = '', version = ''] = apiVersion.split('/')
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, ...(annotations && { annotations }) },
    spec: {
      group,
      scope,
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames,
        ...(categories && { categories }),
      },
      versions: [
        {
          name: version,
          served: true,
          storage: true,
          additionalPrinterColumns: columns,
          subresources: { status: {} },
          schema: { openAPIV3Schema: wholeSchema(resource) },
        },
      ],
    },
  }
}

/** The schema of a whole object. Kubernetes checks what all kinds have in common. */
function wholeSchema({ description, schema }: Resource): StructuralSchema {
  const { required = [], properties = {} } = structuralSchema(schema, describeField)
  const { apiVersion: _version, kind: _kind, metadata: _metadata, status: _status, ...own } = properties
  return {
    description,
    type: 'object',
    ...(required.length > 0 && { required }),
    properties: {
      apiVersion: { description: 'API group and version of the object.', type: 'string' },
      kind: { description: 'Kind of the object.', type: 'string' },
      metadata: { type: 'object' },
      ...own,
      status: STATUS,
    },
  }
}

const text = (description: string, more: Partial<StructuralSchema> = {}): StructuralSchema => ({
  description,
  type: 'string',
  ...more,
})

const STATUS: StructuralSchema = {
  description: 'What agents say of the object. Written by them.',
  type: 'object',
  properties: {
    conditions: {
      description: 'How the object stands, one item for each question.',
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
      items: {
        type: 'object',
        required: ['status', 'type'],
        properties: {
          type: text('The question, such as Valid.'),
          status: text('The answer.', { enum: ['True', 'False', 'Unknown'] }),
          reason: text('The answer in a word.'),
          message: text('The answer for people.'),
          lastTransitionTime: text('When the answer changed last.', { format: 'date-time' }),
          observedGeneration: {
            description: 'The generation of the object that it is about.',
            type: 'integer',
            format: 'int64',
          },
        },
      },
    },
  },
}
