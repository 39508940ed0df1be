// Takes what a HAProxy tells of requests, on a socket in its folder that only it and root
// can use.

import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import type { EventLog } from './event-log.ts'
import { HAPROXY_PLACES, makeHaproxyFolder } from './haproxy-launcher.ts'
import type { Log } from './log.ts'
import type { SystemUser } from './rights.ts'

/** Makes the folder, too. */
export function takeHaproxyEvents(
  folder: string,
  events: EventLog,
  user: SystemUser | undefined,
  log: Pick<Log, 'error'>,
): Disposable {
  makeHaproxyFolder(folder, user)
  const file = path.join(folder, HAPROXY_PLACES.logSocket)
  fs.rmSync(file, { force: true })
  // One read for all that has gathered: a socket that is not asked for more leaves it where it is.
  const server = net.createServer({ highWaterMark: 1 }, connection => {
    connection.on('error', () => undefined)
    events
      .take(connection)
      .catch(error => log.error({ error: String(error) }, 'events of haproxy ended midway; it begins a stream anew'))
  })
  const umask = process.umask(0o177)
  server.listen(file)
  process.umask(umask)
  if (user !== undefined) server.once('listening', () => fs.chownSync(file, user.uid, 0))
  return { [Symbol.dispose]: () => void server.close() }
}
