// The results of a probe for people: one square a port, sources down, destinations across. Pure.

import type { ProbeResult } from './prober.ts'

const SYMBOLS = { allowed: '+', denied: 'X', none: '·' } as const

export function formatMatrix(results: readonly ProbeResult[]): string {
  const pods = [...new Set(results.flatMap(({ from, to }) => [from, to]))].sort()
  const ports = [...new Set(results.map(({ port, protocol }) => `${port}/${protocol}`))]
  if (results.length === 0) return 'nothing to probe: there are not two running pods with such a port\n'
  const squares = ports.map(port => formatSquare(port, pods, results))
  const denied = results.filter(({ verdict }) => verdict === 'denied').length
  const summary = `${results.length} connections: ${results.length - denied} allowed (${SYMBOLS.allowed}), ${denied} denied (${SYMBOLS.denied})\n`
  return `${squares.join('\n')}\n${summary}`
}

function formatSquare(port: string, pods: readonly string[], results: readonly ProbeResult[]): string {
  const verdicts = new Map(
    results
      .filter(result => `${result.port}/${result.protocol}` === port)
      .map(({ from, to, verdict }) => [`${from} ${to}`, verdict]),
  )
  const firstWidth = Math.max(`${port} from`.length, ...pods.map(pod => pod.length))
  const header = `${`${port} from`.padEnd(firstWidth)}  ${pods.join('  ')}`
  const rows = pods.map(from => {
    const cells = pods.map(to => centre(SYMBOLS[verdicts.get(`${from} ${to}`) ?? 'none'], to.length))
    return `${from.padEnd(firstWidth)}  ${cells.join('  ')}`.trimEnd()
  })
  return [header, ...rows, ''].join('\n')
}

function centre(symbol: string, width: number): string {
  const left = Math.floor((width - 1) / 2)
  return `${' '.repeat(left)}${symbol}${' '.repeat(width - 1 - left)}`
}
