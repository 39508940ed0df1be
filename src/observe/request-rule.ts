// The narrowest rule that allows a request: what would have to be added to the rules for
// what is said, in the words of the Cilium kinds. Pure.

import { hostName, isAmbiguousPath } from '../http/index.ts'
import { KAFKA_APIS } from '../kafka/catalogue.ts'
import type { AskedRequest } from './why-request.ts'

/** An item for a list of an item of `toPorts`. */
export type RequestRule = {
  /** The list, such as `rules.http`. */
  readonly list: 'rules.http' | 'rules.dns' | 'rules.kafka' | 'serverNames'
  readonly item: string | Readonly<Record<string, string>>
}

/** @returns undefined for a request that no rule can mean */
export function narrowestRule(asked: AskedRequest): RequestRule | undefined {
  switch (asked.parser) {
    case 'http':
      return httpRule(asked)
    case 'dns':
      return namedRule(asked.name, matchName => ({ list: 'rules.dns', item: { matchName } }))
    case 'tls':
      return namedRule(asked.serverName, item => ({ list: 'serverNames', item }))
    case 'kafka': {
      const apiKey = KAFKA_APIS.get(asked.apiKey)?.name
      const { topic, clientId } = asked
      if (apiKey === undefined) return undefined
      const item = {
        apiKey,
        ...(topic !== undefined && { topic }),
        ...(clientId !== undefined && { clientID: clientId }),
      }
      return { list: 'rules.kafka', item }
    }
  }
}

function httpRule({ method, path, host }: Extract<AskedRequest, { parser: 'http' }>): RequestRule | undefined {
  const name = host === '' ? '' : hostName(host)
  if (name === undefined || !path.startsWith('/') || isAmbiguousPath(path)) return undefined
  const item = { method: literal(method), path: literal(path), ...(name !== '' && { host: literal(name) }) }
  return { list: 'rules.http', item }
}

function namedRule(name: string, rule: (name: string) => RequestRule): RequestRule | undefined {
  const plain = name.replace(/\.$/, '').toLowerCase()
  return /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(plain) ? rule(plain) : undefined
}

/** As a regular expression that means nothing but itself. */
const literal = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')
