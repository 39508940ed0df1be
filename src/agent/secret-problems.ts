// What people are told of Secrets that rules name and a proxy does not get: of values of
// headers at the Secret, of TLS at each rule that wants it. Never what is in them.

import { TLS_SECRET_MISSING } from '../controllers/index.ts'
import { policyName, type RuleKey, type SecretReference, type TlsUse } from '../policy/index.ts'
import { objectKey, type Problem, type Tables } from '../tables/index.ts'

/** First words of the ids of such problems. */
const HEADER_SECRET = 'secret '
const TLS_SECRET = 'tls-secret '
const IDS = [HEADER_SECRET, TLS_SECRET, TLS_SECRET_MISSING]

export function headerProblem(secret: SecretReference, missing: string): Problem {
  const name = objectKey(secret)
  const message = `${missing}: no request matches rules for headers that name it`
  return { ...warning(`${HEADER_SECRET}${name}`, message), object: `Secret ${name}` }
}

/** @param denies nothing passes because of it */
export function tlsProblems(
  { policies }: Tables,
  { end, context: { secret }, rules }: TlsUse,
  { text, denies }: { readonly text: string; readonly denies: boolean },
): Problem[] {
  return rules.flatMap((key): Problem[] => {
    const rule = policies
      .get(policyRowKey(key))
      ?.rules.specs.flatMap(spec => spec.rules)
      .find(one => one.key === key)
    if (!rule) return []
    const field = `${end}TLS`
    const { file, line } = rule.origin
    const effect = denies ? '; until it is in order, connections that this rule is about are denied' : ''
    const message = `${rule.path}.${field}: Secret ${objectKey(secret)}: ${text}${effect}`
    const id = `${denies ? TLS_SECRET_MISSING : TLS_SECRET}${key} ${field} ${text}`
    return [{ ...warning(id, message), object: policyName(rule.policy), file, line: rule.l7Lines?.[field] ?? line }]
  })
}

/** Makes these the only ones of their kinds. */
export function tellProblems({ problems, database }: Tables, wanted: readonly Problem[]): void {
  const before = problems.all().filter(({ id }) => IDS.some(start => id.startsWith(start)))
  const ids = new Set(wanted.map(({ id }) => id))
  const isSame =
    before.length === ids.size &&
    wanted.every(({ id, message, line, file }) => {
      const known = problems.get(id)
      return known?.message === message && known.line === line && known.file === file
    })
  if (isSame) return
  database.write(tx => {
    for (const { id } of before) if (!ids.has(id)) tx.delete(problems, id)
    for (const row of wanted) tx.put(problems, row)
  })
}

/** `KIND/NAMESPACE/NAME/PLACE`, of which the row of a policy of the cluster leaves the namespace out. */
function policyRowKey(key: RuleKey): string {
  const [kind = '', namespace = '', name = ''] = key.split('/')
  return `${kind}/${objectKey({ namespace, name })}`
}

const warning = (id: string, message: string): Omit<Problem, 'object'> => ({
  id,
  severity: 'warning',
  message,
  file: '',
  line: 0,
  column: 1,
})
