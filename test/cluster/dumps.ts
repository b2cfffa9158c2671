/** The directories of brokers that were stopped, as Apache Kafka's own kafka-dump-log reads them. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

import { startToolRunner, type ToolRunner } from '../support/kafka-tool-runner.ts'
import type { BrokerProcess } from './cluster-processes.ts'
import type { ClusterParts } from './parts.ts'

/** Holds them against each other, record by record, as far as the high watermark that each of them noted. */
export async function compareDumps(
  parts: ClusterParts,
  brokers: readonly BrokerProcess[],
  topic: string,
  partitions: number,
): Promise<string[]> {
  await using tools = startToolRunner(parts.kafka, parts.toolRunner)
  const problems: string[] = []
  for (let index = 0; index < partitions; index++) {
    const name = `${topic}-${index}`
    const highWatermark = Math.min(...brokers.map(({ dataDir }) => noted(dataDir, topic, index)))
    if (!(highWatermark > 0)) problems.push(`${name}: the high watermark is ${highWatermark}`)
    const dumps: string[][] = []
    for (const { dataDir } of brokers) dumps.push(await dump(tools, join(dataDir, name), highWatermark))
    for (const [at, lines] of dumps.entries()) {
      const differs = lines.findIndex((line, number) => line !== dumps[0]![number])
      if (differs >= 0 || lines.length !== dumps[0]!.length)
        problems.push(
          `${name}: ${lines.length} lines of broker ${brokers[at]!.id}, ${dumps[0]!.length} of broker ${brokers[0]!.id}; ${lines[differs]}, ${dumps[0]![differs]}`,
        )
      if (lines.some((line) => line.includes('isvalid: false')))
        problems.push(`${name}: a batch is not valid`)
      const records = lines.filter((line) => line.startsWith('| offset: ')).length
      if (records !== highWatermark) problems.push(`${name}: ${records} records below ${highWatermark}`)
    }
  }
  return problems
}

/** NaN where there is none. */
function noted(dataDir: string, topic: string, partition: number): number {
  const lines = readFileSync(join(dataDir, 'replication-offset-checkpoint'), 'utf8').split('\n')
  const found = lines
    .map((line) => line.split(' '))
    .find((words) => words[0] === topic && words[1] === String(partition))
  return Number(found?.[2])
}

/** Batches and records below an offset. */
async function dump(tools: ToolRunner, directory: string, below: number): Promise<string[]> {
  const files = readdirSync(directory)
    .filter((file) => file.endsWith('.log'))
    .toSorted()
    .map((file) => join(directory, file))
  const said = await tools.output('kafka-dump-log', ['--print-data-log', '--files', files.join(',')])
  return said.split('\n').filter((line) => {
    const offset = /^(?:baseOffset|\| offset): (\d+) /.exec(line)
    return offset !== null && Number(offset[1]) < below
  })
}
