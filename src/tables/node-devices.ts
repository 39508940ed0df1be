// The devices of this node that packets of outside clients come by. Written by
// controllers/node-devices.ts, made real by reconcilers/node-devices.ts.

import { defineTable } from '../state/index.ts'

export type NodeDevice = {
  readonly ifindex: number
  readonly name: string
  /** Of the node's addresses those that it has; none where the device was named. */
  readonly addresses: readonly string[]
}

export const nodeDeviceTable = defineTable({
  name: 'node-devices',
  key: (device: NodeDevice) => String(device.ifindex),
  indexes: { name: device => [device.name] },
  columns: {
    NAME: device => device.name,
    IFINDEX: device => String(device.ifindex),
    ADDRESSES: device => device.addresses.join(' '),
  },
})
