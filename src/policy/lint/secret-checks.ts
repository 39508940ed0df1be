// Secrets that rules name: those that no manifest declares, and certificates that are for
// other servers than the rule is about.

import { type ManifestObject, type Path, readSecret, type SecretManifest } from '../../manifests/index.ts'
import { TLS_KEYS } from '../kinds/cilium/l7-rules.ts'
import { certificateNames, isNamed } from './certificate-names.ts'
import { finding, type LintFinding } from './finding.ts'
import { bodyPaths, type LintedPolicy } from './linted-policy.ts'
import { everyField, type Fields, fieldsOf, isFields, itemsOf, valueAt } from './manifest-fields.ts'

type Secrets = ReadonlyMap<string, SecretManifest['items']>

/** Of the manifests, by `namespace/name`. Without any, nothing is known of them: they may come from elsewhere. */
export function declaredSecrets(objects: readonly ManifestObject[]): Secrets {
  const secrets = objects
    .filter(({ apiVersion, kind }) => apiVersion === 'v1' && kind === 'Secret')
    .flatMap(object => readSecret(object).value ?? [])
  return new Map(secrets.map(({ namespace, name, items }) => [`${namespace}/${name}`, items]))
}

/** `secret-missing`: at each field that names one. */
export function secretFindings({ object, policy }: LintedPolicy, secrets: Secrets): LintFinding[] {
  if (secrets.size === 0) return []
  return bodyPaths(object).flatMap(body =>
    [...everyField(valueAt(object.content, body), body)].flatMap(({ path, name: field, value }) => {
      const name = field === 'secret' ? secretName(value, policy.ref.namespace) : undefined
      if (name === undefined) return []
      const items = secrets.get(name)
      const holder = fieldsOf(valueAt(object.content, path.slice(0, -1)))
      const missing = items ? neededKeys(path.at(-2), holder).filter(key => !items.has(key)) : []
      if (items && missing.length === 0) return []
      const what = items
        ? `names ${name}, which has no item ${missing.join(' and no ')}`
        : `names ${name}, which is no Secret of the manifests`
      return [finding('secret-missing', object, path, `${what}: what needs it is denied`)]
    }),
  )
}

/** Undefined for what the schema has refused. */
function secretName(value: unknown, own: string): string | undefined {
  const { namespace, name } = fieldsOf(value)
  return typeof name === 'string'
    ? `${typeof namespace === 'string' && namespace ? namespace : own || 'default'}/${name}`
    : undefined
}

/** Of a TLS context: what its end cannot do without, and what the rule itself names. */
function neededKeys(end: string | number | undefined, { certificate, privateKey, trustedCA }: Fields): string[] {
  if (end !== 'terminatingTLS' && end !== 'originatingTLS') return []
  const shown =
    end === 'terminatingTLS'
      ? [certificate || TLS_KEYS.certificate, privateKey || TLS_KEYS.privateKey]
      : [certificate, privateKey]
  return [...shown, trustedCA].filter(key => typeof key === 'string' && key !== '') as string[]
}

/** `certificate-names`: of certificates that the proxy shows to clients, one finding for all names of a rule. */
export function certificateFindings({ object, policy }: LintedPolicy, secrets: Secrets): LintFinding[] {
  return bodyPaths(object).flatMap(body =>
    (['ingress', 'egress'] as const).flatMap(direction =>
      itemsOf(fieldsOf(valueAt(object.content, body))[direction]).flatMap((rule, i) =>
        itemsOf(fieldsOf(rule)['toPorts']).flatMap((item, j) => {
          const { terminatingTLS: context, serverNames } = fieldsOf(item)
          const names = namesOf(context, policy.ref.namespace, secrets)
          if (!names) return []
          const asked = [...itemsOf(serverNames), ...itemsOf(fieldsOf(rule)['toFQDNs']).flatMap(nameIn)]
          const strange = asked.filter(name => typeof name === 'string' && !isShownTo(names, name))
          if (strange.length === 0) return []
          const place: Path = [...body, direction, i, 'toPorts', j, 'terminatingTLS']
          const message = `shows a certificate for ${names.join(', ') || 'no name'} to clients that ask for ${strange.join(', ')}: they refuse it`
          return [finding('certificate-names', object, place, message)]
        }),
      ),
    ),
  )
}

/** Names of the certificate that a context shows; undefined where it cannot be known. */
function namesOf(context: unknown, own: string, secrets: Secrets): string[] | undefined {
  if (!isFields(context)) return undefined
  const { secret, certificate } = context
  const items = secrets.get(secretName(secret, own) ?? '')
  const bytes = items?.get(typeof certificate === 'string' && certificate ? certificate : TLS_KEYS.certificate)
  return bytes && certificateNames(new TextDecoder('latin1').decode(bytes))
}

function nameIn(selector: unknown): unknown[] {
  const { matchName, matchPattern } = fieldsOf(selector)
  return [matchName ?? matchPattern]
}

/** A pattern is about many servers: it is enough that the certificate is for one of them. */
function isShownTo(names: readonly string[], asked: string): boolean {
  const name = asked.toLowerCase().replace(/\.$/, '')
  if (!name.includes('*')) return isNamed(names, name)
  const parts = name.split(/(\*\*\.|\*)/).map(part => PATTERN_PARTS[part] ?? part.replace(/[^\w-]/g, '\\$&'))
  const pattern = new RegExp(`^${parts.join('')}$`)
  return names.some(own => pattern.test(own.replace('*', 'x')))
}

const PATTERN_PARTS: Readonly<Record<string, string>> = { '**.': '(?:[^.]+\\.)+', '*': '[^.]*' }
