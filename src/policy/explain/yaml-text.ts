// Objects as YAML that every tool reads as the same values: words that some version of
// YAML takes for a boolean or a number are quoted.

import { Document, Scalar, visit } from 'yaml'

export function yamlText(value: unknown): string {
  // 1.1 is what Kubernetes' tools read; `y`, `on` and `012` are no strings there.
  const document = new Document(value, { version: '1.1', aliasDuplicateObjects: false })
  visit(document, {
    Scalar: (_, scalar) => {
      if (typeof scalar.value === 'string' && OCTAL_OF_1_2.test(scalar.value)) scalar.type = Scalar.QUOTE_DOUBLE
    },
  })
  return document.toString({ lineWidth: 0, directives: false })
}

const OCTAL_OF_1_2 = /^[-+]?0o[0-7_]+$/
