import type { Area } from '../scenario.ts'
import { apiVersions } from './api-versions.ts'
import { brokerConfigs, configs } from './configs.ts'
import { fetch } from './fetch.ts'
import { groupOffsets } from './group-offsets.ts'
import { groups } from './groups.ts'
import { logDirs } from './log-dirs.ts'
import { metadata } from './metadata.ts'
import { offsets } from './offsets.ts'
import { produce } from './produce.ts'
import { producers } from './producers.ts'
import { security } from './security.ts'
import { transactions } from './transactions.ts'
import { topics } from './topics.ts'

export const areas: readonly Area[] = [
  apiVersions,
  metadata,
  topics,
  produce,
  producers,
  fetch,
  offsets,
  groups,
  groupOffsets,
  configs,
  brokerConfigs,
  security,
  logDirs,
  transactions,
]
