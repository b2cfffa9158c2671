/**
 * Apache Kafka's command line tools, all in one JVM: a JVM start costs more than most of them.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

import { type Jars, type KafkaTool, kafkaTools, toolJvm } from './apache-kafka.ts'
import { adopt, end } from './processes.ts'

export interface ToolResult {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface ToolRunner extends AsyncDisposable {
  /** Runs a tool to its end, whatever that is. One at a time. */
  run(tool: KafkaTool, args: readonly string[], input?: string): Promise<ToolResult>
  /** Runs a tool that has to succeed, and gives what it printed. */
  output(tool: KafkaTool, args: readonly string[], input?: string): Promise<string>
}

/** `classes` is the directory of the compiled `ToolRunner.java`. */
export function startToolRunner(jars: Jars, classes: string): ToolRunner {
  const log = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'
  const args = [...toolJvm, log, '-cp', `${classes}:${jars.classPath}`, 'ToolRunner']
  const child = spawn('java', args, { stdio: ['pipe', 'pipe', 'inherit'] })
  adopt(child)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const run = async (tool: KafkaTool, toolArgs: readonly string[], input = ''): Promise<ToolResult> => {
    child.stdin.write(`${[kafkaTools[tool], input, ...toolArgs].map(base64).join(' ')}\n`)
    const line = await lines.next()
    assert(line.done !== true, 'the JVM of the tools ended')
    const [code, stdout = '', stderr = ''] = line.value.split(' ')
    return {
      code: Number(code),
      stdout: Buffer.from(stdout, 'base64').toString(),
      stderr: Buffer.from(stderr, 'base64').toString(),
    }
  }
  return {
    run,
    output: async (tool, toolArgs, input) => {
      const result = await run(tool, toolArgs, input)
      assert.equal(result.code, 0, `${tool} ${toolArgs.join(' ')}\n${result.stdout}\n${result.stderr}`)
      return result.stdout
    },
    [Symbol.asyncDispose]: async () => {
      await end(child, 'SIGKILL')
    },
  }
}
