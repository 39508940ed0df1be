// Runs `axoneme` as a user runs it, and collects what it prints.

import { spawn } from 'node:child_process'
import path from 'node:path'
import { type Finished, finish } from '../sandbox/support.ts'

export const AXONEME = path.join(import.meta.dirname, '../../bin/axoneme')

/** Runs a command to its end. Colours are off, as nothing is a terminal. */
export async function axoneme(args: readonly string[], input = ''): Promise<Finished> {
  return await finish(spawn(AXONEME, args, { stdio: 'pipe' }), input)
}

/** What a command prints. @throws Error with what it says when it fails */
export async function outputOf(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await axoneme(args)
  if (code !== 0) throw new Error(`axoneme ${args.join(' ')} ended with ${code}:\n${stderr}`)
  return stdout
}
