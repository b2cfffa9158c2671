/** Writes anew what Apache Kafka answers: all scenarios, or those whose name contains one of the words. */
import { startKafkaToAsk } from './brokers.ts'
import { readGolden, writeGolden } from './golden.ts'
import { runScenarios, STOPPED } from './run-scenarios.ts'
import { areas } from './scenarios/index.ts'

export async function recordGolden(words: readonly string[]): Promise<void> {
  await using broker = await startKafkaToAsk()
  const wanted = (name: string): boolean => words.length === 0 || words.some((word) => name.includes(word))
  const recordings = await runScenarios(broker, areas, wanted)
  const stopped = [...recordings.values()]
    .flatMap((recording) => Object.entries(recording))
    .filter(([, steps]) => steps.at(-1)?.ask === STOPPED)
  if (stopped.length > 0) throw new Error(stopped.map((entry) => JSON.stringify(entry)).join('\n'))
  let count = 0
  for (const area of areas) {
    const recording = { ...readGolden(area.name), ...recordings.get(area.name) }
    const kept = [...area.scenarios.keys()].filter((name) => Object.hasOwn(recording, name))
    count += Object.keys(recordings.get(area.name) ?? {}).length
    writeGolden(area.name, Object.fromEntries(kept.map((name) => [name, recording[name]!])))
  }
  console.log(`${count} scenarios recorded`)
}
