/** Names of the files, beside the partitions, that say where topics and configurations are. */

export const METADATA_LOG = 'samsa-metadata.log'
export const METADATA_SNAPSHOT = 'samsa-metadata.snapshot'
/** Names the last change that was confirmed: files that end before it are damaged. */
export const METADATA_CONFIRMED = 'samsa-metadata.confirmed'
/** Of a broker whose metadata is in ZooKeeper. A file: Apache Kafka takes directories for partitions. */
export const METADATA_ELSEWHERE = 'samsa-metadata.zookeeper'

/** What a directory has in which the metadata is kept. */
export const EMBEDDED_FILES: readonly string[] = [METADATA_LOG, METADATA_SNAPSHOT]
