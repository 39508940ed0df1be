// A server of TLS for tests, over IPv4 and IPv6. What it is told it answers with the name
// that the client asked for and the client's address; `whole` with so many bytes, and then it ends.
// A line on standard input asks how many connections there have been since the last one.
//
//   tls-server-program.ts CERTIFICATE KEY PORT WHOLE_BYTES

import fs from 'node:fs'
import { createInterface } from 'node:readline'
import tls from 'node:tls'

const [certificate = '', key = '', port = '', whole = ''] = process.argv.slice(2)
let connections = 0

const server = tls.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) }, socket => {
  socket.on('error', () => socket.destroy())
  socket.on('data', data => {
    if (String(data) === 'whole') socket.end(Buffer.alloc(Number(whole), 'x'))
    else socket.write(`${socket.servername || 'none'} ${socket.remoteAddress} ${data}`)
  })
})
server.on('connection', () => connections++)
server.on('tlsClientError', () => undefined)
server.listen(Number(port), '::', () => console.log('listens'))
createInterface(process.stdin)
  .on('line', () => {
    console.log(connections)
    connections = 0
  })
  .on('close', () => process.exit())
