import './stories-epochs.ts'
import './stories-loss.ts'
import './stories-store.ts'

/** All of them. */
export { STORIES } from './scenario.ts'
export type { Story } from './scenario.ts'
