// Schema of a file of expectations: who may reach whom, as a person writes it down.

import * as z from 'zod'
import { apiKind, apiObject } from '../../manifests/index.ts'

export const EXPECTATIONS_API = 'axoneme.io/v1alpha1'
export const EXPECTATIONS_KIND = 'PolicyExpectations'

/** Of an expectation: what could steer a terminal, or break a line of a report, is no part of it. */
const title = z
  .string()
  .min(1)
  .regex(/^\P{Cc}*$/u, 'must be one line of printable characters')

const text = z.string().min(1)

/** Pods by what they are; every field that is given must match. */
const podsSchema = apiObject({
  namespace: text.optional(),
  name: text.optional(),
  labels: z.record(z.string(), z.string()).optional(),
  namespaceLabels: z.record(z.string(), z.string()).optional(),
  serviceAccount: text.optional(),
})

const endSchema = z.union([text, podsSchema])
const endsSchema = z.union([text, podsSchema, z.array(endSchema).min(1)])
const portSchema = z.union([text, z.int().min(1).max(65535)])
const portsSchema = z.union([text, z.int().min(1).max(65535), z.array(portSchema).min(1)])

const expectationSchema = apiObject({
  name: title.optional(),
  from: endsSchema,
  to: endsSchema,
  ports: portsSchema.optional(),
  expect: z.enum(['allowed', 'judged', 'denied', 'audited']),
  by: text.optional(),
  nobodyElse: z.boolean().default(false),
  nothingElse: z.boolean().default(false),
}).check(({ value, issues }) => {
  for (const field of ['nobodyElse', 'nothingElse'] as const)
    if (value[field] && value.expect === 'denied')
      issues.push({
        code: 'custom',
        message: 'goes with expect: allowed, judged or audited',
        path: [field],
        input: true,
      })
})

const matrixSchema = apiObject({
  name: title.optional(),
  among: endsSchema.default('*'),
  ports: portsSchema.optional(),
  /** Whom each may reach; a key is a name or pattern as in `from`. */
  allowed: z.record(text, z.union([text, z.array(text)])),
})

export const expectationsSchema = apiKind({
  expectations: z.array(expectationSchema).default([]),
  matrix: z.array(matrixSchema).default([]),
}).check(({ value, issues }) => {
  if (value.expectations.length + value.matrix.length === 0)
    issues.push({ code: 'custom', message: 'expects nothing: it needs expectations or a matrix', input: value })
})

export type ExpectationContent = z.output<typeof expectationSchema>
export type MatrixContent = z.output<typeof matrixSchema>
export type PodsContent = z.output<typeof podsSchema>
export type EndsContent = z.output<typeof endsSchema>
export type PortsContent = z.output<typeof portsSchema>
