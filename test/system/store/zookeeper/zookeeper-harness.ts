/** Sessions on a real ZooKeeper, and what can be done to them. */
import type { LogFields, Logger, Metrics } from '../../../../src/ports.ts'
import { checkPath, StoreError } from '../../../../src/system/store/embedded-store-tree.ts'
import { ZooKeeperStores } from '../../../../src/system/store/zookeeper/zookeeper-stores.ts'
import type { ZooKeeperOptions } from '../../../../src/system/store/zookeeper/zookeeper-stores.ts'
import type { ZooKeeperSession } from '../../../../src/system/store/zookeeper/zookeeper-session.ts'
import { noMetrics } from '../../../../src/system/figures/no-metrics.ts'
import { SamsaError } from '../../../../src/core/samsa-error.ts'

export const sidecarFile = new URL('../../../../lib/zookeeper-sidecar.cjs', import.meta.url).pathname

export interface LogLine {
  readonly level: string
  readonly fields: LogFields
  readonly message: string
}

export function collecting(lines: LogLine[]): Logger {
  const at =
    (level: string) =>
    (fields: LogFields, message: string): void =>
      void lines.push({ level, fields, message })
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    child: () => logger,
  }
  return logger
}

export interface OpenOptions extends Partial<ZooKeeperOptions> {
  readonly lines?: LogLine[]
  readonly metrics?: Metrics
}

/** A new session. */
export async function openSession(
  client: string,
  address: string,
  options: OpenOptions = {},
): Promise<ZooKeeperSession> {
  const { lines = [], metrics = noMetrics, ...changed } = options
  const sessionTimeoutMs = changed.sessionTimeoutMs ?? 4_000
  const stores = new ZooKeeperStores(
    {
      shown: address,
      servers: address.split(','),
      chroot: '',
      sessionTimeoutMs,
      connectionTimeoutMs: 30_000,
      module: client,
      credentials: null,
      secure: false,
      ...changed,
    },
    {
      sidecarFile,
      logger: collecting(lines),
      metrics,
      errors: { make: (code, message) => new StoreError(code, message), checkPath },
      refusal: (code, message) => new SamsaError(code, message),
    },
  )
  return (await stores.open()) as ZooKeeperSession
}
