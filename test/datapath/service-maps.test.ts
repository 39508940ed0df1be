// Services in the maps of the kernel: the same promises as in memory, which stand in
// src/reconcilers/testing/service-maps-contract.ts.

import { after } from 'node:test'
import { type Datapath, loadDatapath } from '../../src/maps/index.ts'
import { serviceMapsContract } from '../../src/reconcilers/testing/service-maps-contract.ts'
import { HOST_MAC, needsRoot, OBJECT } from './node.ts'

const loaded: Datapath[] = []
after(() => {
  for (const datapath of loaded) datapath.close()
})

serviceMapsContract(
  'kernel',
  (sizes = {}) => {
    const datapath = loadDatapath({ object: OBJECT, hostMac: HOST_MAC, sizes })
    loaded.push(datapath)
    return datapath
  },
  needsRoot,
)
