import fs from 'node:fs'
import os from 'node:os'
import { join } from 'node:path'
import type { LogFields, Logger } from '../../../src/ports.ts'
import { loadNativeAddon } from '../../../src/system/native-addon.ts'
import { RingEngine } from '../../../src/system/uring/ring-engine.ts'
import { Turn } from '../../../src/system/turn.ts'

export const quietLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  child: () => quietLogger,
}

/** Keeps the warnings it is given. */
export function warningLogger(warnings: string[]): Logger {
  const logger: Logger = {
    ...quietLogger,
    warn: (fields: LogFields, message: string) => void warnings.push(`${message} ${JSON.stringify(fields)}`),
    child: () => logger,
  }
  return logger
}

/** Why this machine has no io_uring for writes past the page cache in its temporary directory; null when it has. */
export const ringMissing: string | null = whyMissing()

function whyMissing(): string | null {
  const { addon, reason } = loadNativeAddon()
  if (addon === null) return reason
  const path = join(os.tmpdir(), `samsa-ring-${process.pid}`)
  try {
    new RingEngine(addon, new Turn(), quietLogger).close()
    fs.writeFileSync(path, '')
    const alignment = addon.directAlignment(path)
    return alignment === null ? `${os.tmpdir()} has no O_DIRECT` : null
  } catch (error) {
    return String(error)
  } finally {
    fs.rmSync(path, { force: true })
  }
}

export function ringOf(turn: Turn, logger: Logger = quietLogger, stagingBytes?: number): RingEngine {
  const { addon } = loadNativeAddon()
  if (addon === null) throw new Error('no addon')
  return new RingEngine(addon, turn, logger, stagingBytes)
}

/** `fault` as in SAMSA_RING_FAULT; it is read when a ring is made. */
export function faultyRing(turn: Turn, fault: string, stagingBytes?: number): RingEngine {
  process.env['SAMSA_RING_FAULT'] = fault
  try {
    return ringOf(turn, quietLogger, stagingBytes)
  } finally {
    delete process.env['SAMSA_RING_FAULT']
  }
}
