// Services in maps in memory: what they promise stands in testing/service-maps-contract.ts,
// which the maps of the kernel are held to as well (test/datapath/service-maps.test.ts).

import { readFileSync } from 'node:fs'
import { MemoryDatapath } from '../maps/index.ts'
import { serviceMapsContract } from './testing/service-maps-contract.ts'

const object = readFileSync(new URL('../../build/pod.o', import.meta.url))

serviceMapsContract('memory', sizes => new MemoryDatapath(object, sizes))
