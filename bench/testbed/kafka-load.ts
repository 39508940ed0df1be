// Requests of Kafka: runs bench/kafkaload.c, whose server stands in for a broker.

import path from 'node:path'
import type { Namespace } from '../../src/net/index.ts'
import { BUILD_FOLDER } from './load.ts'
import { outputOf, Program } from './programs.ts'

export const KAFKA_PORT = 5030
const KAFKALOAD = path.join(BUILD_FOLDER, 'kafkaload')

export const startBroker = (namespace: Namespace, signal: AbortSignal): Promise<Program> =>
  Program.ready(namespace, [KAFKALOAD, 'serve', String(KAFKA_PORT)], signal)

export type KafkaSample = { readonly perSecond: number; readonly p50Micros: number }

/** One Produce at a time on each connection. @throws Error when one is answered with an error */
export async function produce(
  { namespace, server }: { readonly namespace: Namespace; readonly server: string },
  load: {
    readonly connections: number
    readonly seconds: number
    readonly topic: string
    readonly signal: AbortSignal
  },
): Promise<KafkaSample> {
  const args = ['produce', server, String(KAFKA_PORT), String(load.seconds), String(load.connections), load.topic]
  const output = JSON.parse(await outputOf(namespace, [KAFKALOAD, ...args], load.signal)) as Record<string, number>
  const { count = Number.NaN, seconds = Number.NaN, p50_us = Number.NaN } = output
  return { perSecond: count / seconds, p50Micros: p50_us }
}
