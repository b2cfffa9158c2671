import type { Cell } from '../durability/cells.ts'
import type { Loss } from './power-cut.ts'

export interface Row extends Cell {
  readonly target?: 'samsa' | 'kafka'
  readonly loss: Loss
}

export function lossTable(rows: readonly Row[]): string[] {
  const head = ['target', 'mode', 'io', 'cuts', 'acked', 'lost', 'oldest lost', 'torn tails', 'unclean']
  const cellsOf = ({ target, mode, engine, loss }: Row): string[] => [
    target ?? 'samsa',
    mode,
    engine ?? 'auto',
    String(loss.rounds),
    String(loss.acked),
    String(loss.lost),
    loss.lost === 0 ? '-' : `${Math.round(loss.maxLostMs)} ms`,
    String(loss.tornTails),
    String(loss.unclean),
  ]
  const table = [head, ...rows.map(cellsOf)]
  const widths = head.map((_, column) => Math.max(...table.map((row) => row[column]!.length)))
  return table.map((row) =>
    row
      .map((text, column) => text.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  )
}
