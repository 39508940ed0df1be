// Why a service's address leads where it leads.

export type * from './explanation.ts'
export { type FoundFrontend, findFrontend } from './find.ts'
export { type AskedService, readEndpoint, readServiceQuestion, ServiceQuestionError } from './question.ts'
export { explainService } from './why.ts'
