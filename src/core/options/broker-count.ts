/** Of a cluster in one process: more share its one core badly. */
export const MAX_BROKERS = 32
