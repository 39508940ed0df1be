// Predicts the datapath's verdict on a packet from map contents alone; for `explain`
// and for the differential tests. Pure.

export { predict } from './predict.ts'
export { applyPrediction, describePrediction, type Prediction } from './prediction.ts'
export type { Choice } from './translation.ts'
export { type Question, type Step, type World, worldOf } from './world.ts'
