// What netlink can answer besides yes: a refusal by the kernel, with its own words
// where it has any, and bytes that are no netlink message.

import { SystemError } from '../sys/errors.ts'

/**
 * A request that the kernel refused, or whose answer was lost (`code` ENOBUFS: whether it took effect is unknown).
 * `operation` names the verb and the object, such as `add route 10.0.0.0/8 via 10.9.0.1`.
 */
export class NetlinkError extends SystemError {
  override readonly name = 'NetlinkError'
  /** The kernel's explanation (extended acknowledgement), or '' where it gave none. */
  readonly kernelMessage: string

  constructor(operation: string, errno: number, kernelMessage = '') {
    super(operation, errno, kernelMessage)
    this.kernelMessage = kernelMessage
  }
}

/** Bytes that do not hold the message or the attribute they claim to hold. */
export class NetlinkFormatError extends Error {
  override readonly name = 'NetlinkFormatError'
  readonly code = 'MALFORMED_NETLINK'
}
