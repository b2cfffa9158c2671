import type { Area } from '../scenario.ts'
import { apiVersions } from './api-versions.ts'
import { brokerConfigs, configs } from './configs.ts'
import { metadata } from './metadata.ts'
import { topics } from './topics.ts'

export const areas: readonly Area[] = [apiVersions, configs, brokerConfigs, metadata, topics]
