// Asks a node's proxy over its unix socket. A proxy that is not there comes as
// ProxyUnreachableError.

import type { L7RuleSet } from '../policy/index.ts'
import type { ProxyStatus, RuleSetsAnswer, SecretValueRow, StoredRuleSets } from './proxy-schema.ts'
import { absenceText, UnixClient } from './unix-client.ts'

export class ProxyUnreachableError extends Error {
  override readonly name = 'ProxyUnreachableError'
  readonly code = 'PROXY_UNREACHABLE'

  constructor(path: string, cause: NodeJS.ErrnoException) {
    super(`no proxy answers at ${path}: ${absenceText(cause)}; connections that it is to judge are refused`, { cause })
  }
}

export class ProxyClient {
  readonly #api: UnixClient

  constructor(socketPath: string) {
    this.#api = new UnixClient(socketPath, 'proxy', cause => new ProxyUnreachableError(socketPath, cause))
  }

  status(signal?: AbortSignal): Promise<ProxyStatus> {
    return this.#api.ask('GET', '/v1/status', undefined, signal)
  }

  ruleSets(signal?: AbortSignal): Promise<StoredRuleSets> {
    return this.#api.ask('GET', '/v1/rule-sets', undefined, signal)
  }

  /** Resolves when every server judges by these sets and no others. */
  replaceRuleSets(ruleSets: readonly L7RuleSet[], signal?: AbortSignal): Promise<RuleSetsAnswer> {
    return this.#api.ask('PUT', '/v1/rule-sets', { ruleSets }, signal)
  }

  /** Resolves when every server has the sets. */
  changeRuleSets(
    change: { readonly add: readonly L7RuleSet[]; readonly remove: readonly number[] },
    signal?: AbortSignal,
  ): Promise<RuleSetsAnswer> {
    return this.#api.ask('POST', '/v1/rule-sets', change, signal)
  }

  /** Resolves when every server judges by these secrets and no others. */
  async replaceSecrets(secrets: readonly SecretValueRow[], signal?: AbortSignal): Promise<void> {
    await this.#api.ask('PUT', '/v1/secrets', { secrets }, signal)
  }

  /** Follows what is judged, as lines of JSON; first come those that nobody has taken yet. @throws StreamCutError when the proxy ends */
  events(signal?: AbortSignal): AsyncGenerator<Buffer> {
    return this.#api.lines('/v1/events?follow', signal)
  }
}
