// What a probe or a hook of a container does: run a command, ask for a page, open a connection, wait. From the fields of
// a Pod to something that can be done. Pure; health.ts does it.

import { z } from 'zod'

const portSchema = z.union([z.int(), z.string()])

export const handlerSchema = z.object({
  exec: z.object({ command: z.array(z.string()).default([]) }).optional(),
  httpGet: z
    .object({
      path: z.string().default('/'),
      port: portSchema,
      host: z.string().optional(),
      scheme: z.string().default('HTTP'),
      httpHeaders: z.array(z.object({ name: z.string(), value: z.string().default('') })).default([]),
    })
    .optional(),
  tcpSocket: z.object({ port: portSchema, host: z.string().optional() }).optional(),
  sleep: z.object({ seconds: z.number().min(0) }).optional(),
})

export const probeSchema = handlerSchema.extend({
  initialDelaySeconds: z.number().min(0).default(0),
  periodSeconds: z.number().min(1).default(10),
  timeoutSeconds: z.number().min(1).default(1),
  successThreshold: z.int().min(1).default(1),
  failureThreshold: z.int().min(1).default(3),
})

export type Action =
  | { readonly kind: 'exec'; readonly argv: readonly string[] }
  | {
      readonly kind: 'http'
      /** The pod's address unless given. */
      readonly host?: string
      readonly port: number
      readonly path: string
      readonly headers: Readonly<Record<string, string>>
    }
  | { readonly kind: 'tcp'; readonly host?: string; readonly port: number }
  | { readonly kind: 'sleep'; readonly milliseconds: number }

export type ProbePlan = {
  readonly action: Action
  readonly initialDelayMs: number
  readonly periodMs: number
  readonly timeoutMs: number
  readonly successThreshold: number
  readonly failureThreshold: number
}

/** The container's ports, for those that are named. */
export type Ports = readonly { readonly name?: string | undefined; readonly containerPort: number }[]

/** @returns `unknown` with the reason when the sandbox cannot do it */
export function actionOf(handler: z.infer<typeof handlerSchema>, ports: Ports): Action | { readonly unknown: string } {
  const { exec, httpGet, tcpSocket, sleep } = handler
  if (exec) return { kind: 'exec', argv: exec.command }
  if (sleep) return { kind: 'sleep', milliseconds: sleep.seconds * 1000 }
  const target = httpGet ?? tcpSocket
  if (!target) return { unknown: 'has none of exec, httpGet, tcpSocket (the sandbox knows no others)' }
  const named = ports.find(({ name }) => name === target.port)?.containerPort
  const port = typeof target.port === 'number' ? target.port : (named ?? Number(target.port))
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    return { unknown: `names port '${target.port}', which the container does not have` }
  const host = target.host ? { host: target.host } : {}
  if (!httpGet) return { kind: 'tcp', ...host, port }
  if (httpGet.scheme !== 'HTTP') return { unknown: `asks with ${httpGet.scheme}; the sandbox knows HTTP alone` }
  const headers = Object.fromEntries(httpGet.httpHeaders.map(({ name, value }) => [name, value]))
  return { kind: 'http', ...host, port, path: httpGet.path, headers }
}

export function probeOf(probe: z.infer<typeof probeSchema>, ports: Ports): ProbePlan | { readonly unknown: string } {
  const action = actionOf(probe, ports)
  if ('unknown' in action) return action
  const { initialDelaySeconds, periodSeconds, timeoutSeconds, successThreshold, failureThreshold } = probe
  return {
    action,
    initialDelayMs: initialDelaySeconds * 1000,
    periodMs: periodSeconds * 1000,
    timeoutMs: timeoutSeconds * 1000,
    successThreshold,
    failureThreshold,
  }
}
