// From a PolicyExpectations object to expectations, each with the line it stands on.

import { apiGroup, type ManifestObject, type Path, type Problem, problemOf, validate } from '../../manifests/index.ts'
import type { Outcome } from '../cluster/judge.ts'
import {
  type EndsContent,
  EXPECTATIONS_API,
  EXPECTATIONS_KIND,
  expectationsSchema,
  type MatrixContent,
  type PortsContent,
} from './expectations-schema.ts'
import { type ExpectedPorts, parseExpectedPorts } from './expected-ports.ts'

/** What shall become of connections. */
export type Expectation = {
  /** The name of the object that holds it. */
  readonly suite: string
  readonly name: string
  readonly file: string
  readonly line: number
  readonly ports: ExpectedPorts
} & (PairExpectation | MatrixExpectation)

type PairExpectation = {
  readonly kind: 'pair'
  readonly from: EndsContent
  readonly to: EndsContent
  readonly expect: Outcome
  /** The rule or policy that must decide: `NetworkPolicy shop/db ingress[0]`, with or without kind and place. */
  readonly by: string | undefined
  /** Whether every other sender must be denied. */
  readonly nobodyElse: boolean
  /** Whether every other destination must be denied. */
  readonly nothingElse: boolean
}

/** Among these, what is allowed; everything else between them must be denied. */
type MatrixExpectation = {
  readonly kind: 'matrix'
  readonly among: EndsContent
  readonly allowed: readonly { readonly from: string; readonly to: readonly string[] }[]
}

/** The expectations of one object; none when it has problems. */
export type ReadExpectations = { readonly expectations: readonly Expectation[]; readonly problems: readonly Problem[] }

/** Whether an object holds expectations, of whatever version. */
export function isExpectations({ apiVersion, kind }: Pick<ManifestObject, 'apiVersion' | 'kind'>): boolean {
  return kind === EXPECTATIONS_KIND && apiGroup(apiVersion) === apiGroup(EXPECTATIONS_API)
}

/** Reads one PolicyExpectations object. An unknown field is an error: what was expected there would go unchecked. */
export function readExpectations(object: ManifestObject): ReadExpectations {
  if (object.apiVersion !== EXPECTATIONS_API)
    return { expectations: [], problems: [problemOf(object, 'error', ['apiVersion'], `must be ${EXPECTATIONS_API}`)] }
  const validation = validate(expectationsSchema, object)
  const problems = validation.problems.map((problem): Problem => ({ ...problem, severity: 'error' }))
  if (!validation.value) return { expectations: [], problems }
  const { expectations, matrix } = validation.value
  const common = (path: Path, name: string, portsContent: PortsContent | undefined) => {
    const parsed = parseExpectedPorts(portsContent)
    const ports = typeof parsed === 'object' && 'problem' in parsed ? [] : parsed
    if (typeof parsed === 'object' && 'problem' in parsed)
      problems.push(problemOf(object, 'error', [...path, 'ports'], parsed.problem))
    const place = { file: object.origin.file, line: object.position(path).line }
    return { suite: object.metadata.name, name, ...place, ports }
  }
  const pairs = expectations.map(({ name, ports, by, ...pair }, i): Expectation => {
    return { ...common(['expectations', i], name ?? pairName({ ports, ...pair }), ports), kind: 'pair', by, ...pair }
  })
  const matrices = matrix.map(({ name, ports, among, allowed }, i): Expectation => {
    return {
      ...common(['matrix', i], name ?? matrixName(among, ports), ports),
      kind: 'matrix',
      among,
      allowed: listed(allowed),
    }
  })
  return { expectations: problems.length > 0 ? [] : [...pairs, ...matrices], problems }
}

const listed = (allowed: MatrixContent['allowed']): MatrixExpectation['allowed'] =>
  Object.entries(allowed).map(([from, to]) => ({ from, to: typeof to === 'string' ? [to] : to }))

type Pair = Pick<PairExpectation, 'from' | 'to' | 'expect' | 'nobodyElse' | 'nothingElse'> & {
  readonly ports: PortsContent | undefined
}

function pairName({ from, to, ports, expect, nobodyElse, nothingElse }: Pair): string {
  const only = [...(nobodyElse ? ['nobody else'] : []), ...(nothingElse ? ['nothing else'] : [])]
  const what = [expect, ...only].join(', ')
  return `${endsText(from)} → ${endsText(to)} ${portsText(ports)}: ${what}`
}

const matrixName = (among: EndsContent, ports: PortsContent | undefined): string =>
  `among ${endsText(among)} ${portsText(ports)}: nothing but the listed`

const portsText = (ports: PortsContent | undefined): string =>
  ports === undefined ? 'any port' : [ports].flat().join(', ')

function endsText(ends: EndsContent): string {
  return [ends]
    .flat()
    .map(item => (typeof item === 'string' ? item : JSON.stringify(item).replaceAll('"', '')))
    .join(', ')
}
