// struct msghdr and struct cmsghdr of include/linux/socket.h, for sendmsg(2) and recvmmsg(2) on machines of 64 bits. What the
// pointers in it lead to, and how long that lives, is left to who makes the call.

export const MESSAGE_HEADER = {
  bytes: 56,
  name: 0,
  nameLength: 8,
  vector: 16,
  vectorLength: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
} as const

/** Before the content of each control message. */
export const CONTROL_HEADER_BYTES = 16
