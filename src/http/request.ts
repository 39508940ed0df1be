// A request as rules see it, and what is refused before any rule is asked: a path that
// the proxy and a server behind it could read differently. HAProxy's configuration has
// the same pattern, so that both say the same.

export type HttpRequest = {
  readonly method: string
  /** Path and query as they were sent. */
  readonly path: string
  /** As it was sent, with its port where it has one; empty where there is none. */
  readonly host: string
  /** In the order of the request. Names in lower case. */
  readonly headers: readonly (readonly [name: string, value: string])[]
}

const HEX = '[0-9A-Fa-f]'

/**
 * Matches an ambiguous path and query; in the words that PCRE and JavaScript share. Ambiguous are: characters that a
 * target cannot have; and in the path: empty segments and `/;`, dot segments (with parameters too), backslashes,
 * encodings that are none, that hide what needs none (RFC 3986, 6.2.2.2), or that hide a slash, backslash, percent
 * sign, semicolon or control character, and overlong UTF-8.
 */
export const AMBIGUOUS_PATH = [
  String.raw`[^\x21\x22\x24-\x7e]`,
  `^[^?]*(?:${[
    '/[/;]',
    String.raw`\\`,
    String.raw`/\.\.?(?:[/;?]|$)`,
    `%(?!${HEX}${HEX})`,
    `%(?:[01]${HEX}|2[5DEFdef]|3[0-9Bb]|4[1-9A-Fa-f]|5[0-9ACFacf]|6[1-9A-Fa-f]|7[0-9AEFaef])`,
    `%(?:[Cc][01]|[Ff][5-9A-Fa-f]|[Ee]0%[89]|[Ff]0%8)`,
  ].join('|')})`,
].join('|')

const ambiguous = new RegExp(AMBIGUOUS_PATH)

/** Whether a server might read the path as another one. Such a request is refused wherever rules limit requests. */
export const isAmbiguousPath = (path: string): boolean => ambiguous.test(path)

/** The host that rules judge: in lower case and without its port. Undefined for what is no host; no rule matches it. */
export function hostName(host: string): string | undefined {
  if (/[^A-Za-z0-9._:[\]-]/.test(host)) return undefined
  const [, bracketed, name] = /^(\[[^\]]*\]|([^:]*))(?::[0-9]*)?$/.exec(host) ?? []
  return (name ?? bracketed ?? host).toLowerCase()
}
