export type * from './conversations-types.js'
