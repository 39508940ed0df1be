// The syntax of Kubernetes' names and labels (k8s.io/apimachinery pkg/util/validation)
// as predicates, each with the sentence that tells a user what it wants.

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/
const QUALIFIED_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/

export const DNS_LABEL_RULE =
  "must be at most 63 lower-case letters, digits and '-', and begin and end with a letter or digit"
export const DNS_SUBDOMAIN_RULE =
  "must be at most 253 lower-case letters, digits, '-' and '.', and each part begin and end with a letter or digit"
export const LABEL_KEY_RULE =
  "must be NAME or PREFIX/NAME: a name of at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit; a prefix that is a DNS name"
export const LABEL_VALUE_RULE =
  "must be empty or at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
export const PORT_NAME_RULE =
  "must be at most 15 lower-case letters, digits and single '-', with at least one letter, and begin and end with a letter or digit"

/** DNS-1123 label: names of namespaces, containers, nodes' parts. */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && DNS_LABEL.test(text)
}

/** DNS-1123 subdomain: names of most objects. */
export function isDnsSubdomain(text: string): boolean {
  return text.length <= 253 && text.split('.').every(part => DNS_LABEL.test(part))
}

/** Key of a label or an annotation. */
export function isLabelKey(text: string): boolean {
  const slash = text.indexOf('/')
  const [prefix, name] = slash < 0 ? [undefined, text] : [text.slice(0, slash), text.slice(slash + 1)]
  return name.length <= 63 && QUALIFIED_NAME.test(name) && (prefix === undefined || isDnsSubdomain(prefix))
}

export function isLabelValue(text: string): boolean {
  return text === '' || (text.length <= 63 && QUALIFIED_NAME.test(text))
}

/** Name of a port: IANA service name, RFC 6335 section 5.1. */
export function isPortName(text: string): boolean {
  return text.length <= 15 && DNS_LABEL.test(text) && /[a-z]/.test(text) && !text.includes('--')
}
