import type { LogFields, Logger } from '../../src/ports.ts'

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly fields: LogFields
  readonly message: string
  /** Of the simulated world. */
  readonly atMs: number
}

/** Keeps the lines, so that a test can look for one and a failure can print them. */
export class SimLogger implements Logger {
  readonly lines: LogLine[]
  private readonly bound: LogFields

  private readonly nowMs: () => number

  constructor(nowMs: () => number = () => 0, lines: LogLine[] = [], bound: LogFields = {}) {
    this.nowMs = nowMs
    this.lines = lines
    this.bound = bound
  }

  debug(fields: LogFields, message: string): void {
    this.add('debug', fields, message)
  }

  info(fields: LogFields, message: string): void {
    this.add('info', fields, message)
  }

  warn(fields: LogFields, message: string): void {
    this.add('warn', fields, message)
  }

  error(fields: LogFields, message: string): void {
    this.add('error', fields, message)
  }

  child(fields: LogFields): Logger {
    return new SimLogger(this.nowMs, this.lines, { ...this.bound, ...fields })
  }

  /** Messages of one level, oldest first. */
  messages(level: LogLine['level']): string[] {
    return this.lines.filter((line) => line.level === level).map((line) => line.message)
  }

  private add(level: LogLine['level'], fields: LogFields, message: string): void {
    this.lines.push({ level, fields: { ...this.bound, ...fields }, message, atMs: this.nowMs() })
  }
}
