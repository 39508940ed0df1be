// A cluster of network namespaces on one machine, for the demo, for tests and for trying policies out. This is what
// other parts of the project use of it.

export type { Question, Said } from './app-talk.ts'
export { SandboxClient } from './client.ts'
export { defaultConfiguration, type NodeConfiguration, type SandboxConfiguration } from './configuration.ts'
export type { NodeStatus, PodEntry, ProbeAnswer, ProbeRequest, SandboxStatus } from './control.ts'
export { SandboxError, type SandboxErrorCode } from './errors.ts'
export { spawnInPod, spawnOutside } from './exec.ts'
export { type DownResult, down, type LifeOptions, type UpResult, up } from './life.ts'
export { type NodePaths, nodePaths, type SandboxPaths, sandboxPaths } from './paths.ts'
export type { PodPhase, PodStatus } from './pods/pod.ts'
export type { ProbeResult, Verdict } from './probe/prober.ts'
export type { ServiceStatus } from './services/controller.ts'
export { servicesOfManifests } from './services/from-manifests.ts'
export { admissionCheck, whenServicesTaken, withClusterObjects } from './services/from-outside.ts'
export { isDeployment, readDeployment } from './workloads/deployments.ts'
