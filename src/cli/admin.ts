import type { BrokerConfig } from '../core/config/broker-config.ts'
import { listenFailure } from '../core/listen-failure.ts'
import type { RunningBroker } from '../server/start-broker.ts'
import { startAdminHttp } from '../system/figures/admin-http.ts'
import type { AdminHttp, Health } from '../system/figures/admin-http.ts'
import { METRICS_CONTENT_TYPE } from '../system/figures/prom-metrics.ts'
import type { PromMetrics } from '../system/figures/prom-metrics.ts'

/** The HTTP port for figures and health. It is open while the broker recovers its logs, and says so. */
export class Admin {
  #http: AdminHttp | null = null
  #broker: RunningBroker | null = null
  #state = 'starting'

  async listen(config: BrokerConfig, metrics: PromMetrics): Promise<void> {
    const address = config.adminEndpoint
    if (address === null) return
    try {
      this.#http = await startAdminHttp(address, {
        metrics: () => metrics.scrape(),
        metricsContentType: METRICS_CONTENT_TYPE,
        live: () => ({ healthy: true, reasons: [] }),
        ready: () => this.#ready(),
        hosts: knownHosts(config),
      })
    } catch (error) {
      throw listenFailure('samsa.admin.listener', address, 'samsa.admin.listener=', error)
    }
  }

  started(broker: RunningBroker): void {
    this.#broker = broker
  }

  stopping(): void {
    this.#state = 'stopping'
    this.#broker = null
  }

  async close(): Promise<void> {
    await this.#http?.close()
  }

  #ready(): Health {
    if (this.#broker === null) return { healthy: false, reasons: [this.#state] }
    let offline = 0
    for (const partition of this.#broker.broker.partitions.all()) if (partition.errorCode !== 0) offline++
    if (offline > 0)
      return { healthy: false, reasons: [`${offline} partition(s) offline: their disk failed`] }
    return { healthy: true, reasons: [] }
  }
}

/** Other names that point here may be somebody's who has a page in a browser on this machine. */
function knownHosts(config: BrokerConfig): string[] {
  const listeners = config.endpoints.flatMap(({ host, advertised }) => [host, advertised?.host ?? ''])
  const names = [config.adminEndpoint?.host ?? '', ...listeners, ...config['samsa.admin.allowed.hosts']]
  return names.filter((name) => name !== '')
}

/** Null when no admin port is configured. */
export async function startAdmin(config: BrokerConfig, metrics: PromMetrics): Promise<Admin | null> {
  if (config.adminEndpoint === null) return null
  const admin = new Admin()
  await admin.listen(config, metrics)
  return admin
}
