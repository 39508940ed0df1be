// Certificates for tests, made by openssl: authorities, and what they have signed.

import { execFileSync } from 'node:child_process'

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']

/** NAME.crt and NAME.key. */
export function makeAuthority(name: string): void {
  const files = ['-subj', '/CN=authority', '-keyout', `${name}.key`, '-out', `${name}.crt`]
  execFileSync('openssl', ['req', '-x509', ...KEY, ...files], { stdio: 'ignore' })
}

/** NAME.crt and NAME.key, for a host. @param authority as of `makeAuthority` */
export function makeSigned(name: string, authority: string, host: string): void {
  const subject = [
    '-subj',
    `/CN=${host}`,
    '-addext',
    `subjectAltName=DNS:${host}`,
    '-addext',
    'basicConstraints=CA:FALSE',
  ]
  const by = ['-CA', `${authority}.crt`, '-CAkey', `${authority}.key`]
  const files = ['-keyout', `${name}.key`, '-out', `${name}.crt`]
  execFileSync('openssl', ['req', '-x509', ...KEY, ...subject, ...by, ...files], { stdio: 'ignore' })
}
