export const CONFIG_PROFILES = ['embedded', 'server'] as const

/** `server` starts as Kafka does; `embedded` lives in a test: any free port, no wait for more group members. */
export type ConfigProfile = (typeof CONFIG_PROFILES)[number]
