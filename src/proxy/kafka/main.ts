// The program of the Kafka server: a child of `axoneme proxy`.

import { CHILD_DESCRIPTORS, serveAsChild } from '../child.ts'
import { serveKafka } from './server.ts'

serveAsChild((start, emit) => serveKafka(start, emit, [CHILD_DESCRIPTORS.tcp4, CHILD_DESCRIPTORS.tcp6]))
