import type { DestinationStream, Logger as PinoInstance } from 'pino'
import type { LogLevel } from '../core/options/log-level.ts'
import type { LogFields, Logger } from '../ports.ts'
import { LineSink, standardSink } from './line-sink.ts'
import { printableFields, printableMessage } from './log-values.ts'

export type LogFormat = 'json' | 'human'

export interface LoggerOptions {
  readonly level: LogLevel
  /** Default: json. */
  readonly format?: LogFormat
  /** Colours in the human format. */
  readonly colour?: boolean
  /** Where lines go; standard output when not given. */
  readonly destination?: DestinationStream
}

/**
 * Whatever is logged is shown as `core/printable` does: clients name much of it. The library is loaded when the first
 * logger needs it: an embedded broker is silent and starts without.
 */
export async function createLogger(options: LoggerOptions): Promise<Logger> {
  if (options.level === 'silent') return silentLogger
  const { pino } = await import('pino')
  const raw = options.destination ?? standardSink(1)
  const destination = options.format === 'human' ? await prettified(raw, options.colour ?? false) : raw
  const settings = {
    level: options.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  const logger = new PinoLogger(pino(settings, destination))
  if (raw instanceof LineSink) {
    raw.onDropped = (droppedLines) =>
      logger.warn({ droppedLines }, 'lines of this log were dropped: nobody read it fast enough')
  }
  return logger
}

async function prettified(raw: DestinationStream, colour: boolean): Promise<DestinationStream> {
  const { prettyFactory } = await import('pino-pretty')
  const format = prettyFactory({ colorize: colour, singleLine: true, translateTime: 'SYS:HH:MM:ss.l' })
  return { write: (line: string) => raw.write(format(line)) }
}

class PinoLogger implements Logger {
  readonly #pino: PinoInstance

  constructor(instance: PinoInstance) {
    this.#pino = instance
  }

  debug(fields: LogFields, message: string): void {
    this.#pino.debug(printableFields(fields), printableMessage(message))
  }

  info(fields: LogFields, message: string): void {
    this.#pino.info(printableFields(fields), printableMessage(message))
  }

  warn(fields: LogFields, message: string): void {
    this.#pino.warn(printableFields(fields), printableMessage(message))
  }

  error(fields: LogFields, message: string): void {
    this.#pino.error(printableFields(fields), printableMessage(message))
  }

  child(fields: LogFields): Logger {
    return new PinoLogger(this.#pino.child(printableFields(fields)))
  }
}

/** For embedded brokers that were not asked to speak. */
export const silentLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => silentLogger,
}
