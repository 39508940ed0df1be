// One benchmark at a time: two would measure each other, and have the same sandbox.

import { once } from 'node:events'
import net from 'node:net'

/** An abstract unix socket: it needs no file, and ends with its process, however that ends. */
const NAME = '\0axoneme-bench'

export class BusyError extends Error {
  override readonly name = 'BusyError'
  readonly code = 'BUSY'
}

/** @throws BusyError when another benchmark runs on this machine */
export async function lockMachine(): Promise<AsyncDisposable> {
  const server = net.createServer()
  try {
    server.listen(NAME)
    await once(server, 'listening')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new BusyError('another benchmark is running on this machine: wait for its end', { cause: error })
  }
  return server
}
