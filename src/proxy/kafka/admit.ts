// Which connections are taken: as many as one client and all may have.

import type net from 'node:net'
import type { Admission } from '../admission.ts'

/** @returns false for one too many, which is reset; any other has its place until it is closed */
export function admit(socket: net.Socket, open: Admission): boolean {
  socket.on('error', () => undefined) // followed by 'close'
  const client = socket.remoteAddress
  if (client === undefined || !open.enter(client)) {
    socket.resetAndDestroy()
    return false
  }
  socket.once('close', () => open.leave(client))
  return true
}
