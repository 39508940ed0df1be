// Reads the log files of containers: what is there, and what comes, also across the one rotation.

import fs from 'node:fs'
import type { Writable } from 'node:stream'
import { pause } from './backoff.ts'

const POLL_MS = 150
const CHUNK_BYTES = 64 * 1024

export type LogOptions = {
  /** Only the last so many lines of what is there. */
  readonly lines?: number | undefined
  /** Until aborted. */
  readonly follow?: AbortSignal | undefined
}

/** @throws ENOENT when there is no such log and nothing to wait for */
export async function printLog(file: string, out: Writable, { lines, follow }: LogOptions): Promise<void> {
  if (!follow) fs.accessSync(file)
  const older = readIfThere(`${file}.1`)
  let fd = openIfThere(file)
  const before = fd === undefined ? Buffer.alloc(0) : readFrom(fd, 0)
  let position = before.length
  out.write(lastLinesOf(Buffer.concat([older, before]), lines))
  if (follow) {
    while (await pause(POLL_MS, follow)) {
      if (fd !== undefined) position += copyFrom(fd, position, out)
      if (fd !== undefined && !isReplaced(file, fd)) continue
      if (fd !== undefined) fs.closeSync(fd)
      fd = openIfThere(file)
      position = fd === undefined ? 0 : copyFrom(fd, 0, out)
    }
  }
  if (fd !== undefined) fs.closeSync(fd)
}

function lastLinesOf(text: Buffer, lines: number | undefined): Buffer {
  if (lines === undefined) return text
  if (lines === 0) return Buffer.alloc(0)
  // The newline that ends the last line does not begin another one.
  let start = text.length - 1
  for (let left = lines; left > 0 && start > 0; left--) start = text.lastIndexOf(10, start - 1)
  return text.subarray(Math.max(0, start + (start > 0 ? 1 : 0)))
}

function copyFrom(fd: number, position: number, out: Writable): number {
  const text = readFrom(fd, position)
  if (text.length > 0) out.write(text)
  return text.length
}

function readFrom(fd: number, position: number): Buffer {
  const chunks: Buffer[] = []
  for (let total = 0; ; ) {
    const chunk = Buffer.alloc(CHUNK_BYTES)
    const length = fs.readSync(fd, chunk, 0, chunk.length, position + total)
    if (length === 0) return Buffer.concat(chunks)
    chunks.push(chunk.subarray(0, length))
    total += length
  }
}

function isReplaced(file: string, fd: number): boolean {
  const now = fs.statSync(file, { throwIfNoEntry: false })
  return now !== undefined && now.ino !== fs.fstatSync(fd).ino
}

function openIfThere(file: string): number | undefined {
  try {
    return fs.openSync(file, 'r')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function readIfThere(file: string): Buffer {
  const fd = openIfThere(file)
  if (fd === undefined) return Buffer.alloc(0)
  try {
    return readFrom(fd, 0)
  } finally {
    fs.closeSync(fd)
  }
}
