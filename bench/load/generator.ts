import { runEndToEnd } from './end-to-end.ts'
import { ClusterDrive } from './cluster-drive.ts'
import { Drive } from './drive.ts'
import { type Exchange, FetchExchange, ProduceExchange } from './exchange.ts'
import { Fill } from './fill.ts'
import { SeededRandom } from './random.ts'
import { type ClusterLoad, END_OF_LOAD, type GeneratorReply, type LoadResult, type LoadSpec } from './spec.ts'

/** The generator process: takes one load over IPC, applies it, answers with what it measured, and ends. */

function apply(load: LoadSpec): Promise<LoadResult> {
  const random = new SeededRandom(load.seed)
  switch (load.kind) {
    case 'produce':
      return new Drive(load, new ProduceExchange(load.topic, load.acks, load.batch, random)).run()
    case 'fetch': {
      const { topic, partitions, maxBytes, stride, offsets } = load
      return new Drive(load, new FetchExchange(topic, partitions, maxBytes, stride, offsets)).run()
    }
    case 'fill':
      return new Fill(load, new ProduceExchange(load.topic, load.acks, load.batch, random)).run()
    case 'cluster':
      return cluster(load, new ProduceExchange(load.topic, load.acks, load.batch, random))
    case 'e2e':
      return runEndToEnd(load)
  }
}

function cluster(load: ClusterLoad, exchange: Exchange): Promise<LoadResult> {
  const drive = new ClusterDrive(load, exchange, () =>
    process.send?.({ kind: 'measuring' } satisfies GeneratorReply),
  )
  process.on('message', (message) => {
    if (message === END_OF_LOAD) drive.end()
  })
  return drive.run()
}

function reply(message: GeneratorReply): void {
  process.send?.(message, () => {
    process.exit(message.kind === 'result' ? 0 : 1)
  })
}

process.on('uncaughtException', (error) => reply({ kind: 'failed', message: error.message }))
process.once('disconnect', () => process.exit(1))
process.once('message', (load: LoadSpec) => {
  apply(load).then(
    (result) => reply({ kind: 'result', result }),
    (error: unknown) =>
      reply({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }),
  )
})
