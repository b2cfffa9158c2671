/** Bit sets of the operations a client may perform (KIP-430). Without an authorizer these are all that a resource knows. */

const OPERATIONS = {
  read: 3,
  write: 4,
  create: 5,
  delete: 6,
  alter: 7,
  describe: 8,
  clusterAction: 9,
  describeConfigs: 10,
  alterConfigs: 11,
  idempotentWrite: 12,
} as const

function bits(...operations: (keyof typeof OPERATIONS)[]): number {
  return operations.reduce((set, operation) => set | (1 << OPERATIONS[operation]), 0)
}

export const TOPIC_OPERATIONS = bits(
  'read',
  'write',
  'create',
  'delete',
  'alter',
  'describe',
  'describeConfigs',
  'alterConfigs',
)

export const GROUP_OPERATIONS = bits('read', 'delete', 'describe', 'describeConfigs', 'alterConfigs')

export const CLUSTER_OPERATIONS = bits(
  'create',
  'alter',
  'describe',
  'clusterAction',
  'describeConfigs',
  'alterConfigs',
  'idempotentWrite',
)

/** Says that nobody asked for the operations. */
export const OPERATIONS_NOT_ASKED = -0x8000_0000
