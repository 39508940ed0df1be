// Runs `axoneme` as a user runs it, and collects what it prints.

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import path from 'node:path'
import { type Finished, finish } from '../sandbox/support.ts'

export const AXONEME = path.join(import.meta.dirname, '../../bin/axoneme')

/** A test starts dozens of processes: what one has compiled, the next one need not. */
const NODE_COMPILE_CACHE = path.join(import.meta.dirname, '../../build/.compile-cache')

/** Starts a command. Colours are off, as nothing is a terminal. */
export function startAxoneme(args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  return spawn(AXONEME, args, { ...options, env: { ...process.env, NODE_COMPILE_CACHE }, stdio: 'pipe' })
}

/** Runs a command to its end. */
export async function axoneme(args: readonly string[], input = ''): Promise<Finished> {
  return await finish(startAxoneme(args), input)
}

/** What a command prints. @throws Error with what it says when it fails */
export async function outputOf(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await axoneme(args)
  if (code !== 0) throw new Error(`axoneme ${args.join(' ')} ended with ${code}:\n${stderr}`)
  return stdout
}
