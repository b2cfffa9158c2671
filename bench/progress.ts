import { SingleBar } from 'cli-progress'

/** Says how far a run is and how long it will still take: a bar on a terminal, lines elsewhere. */
export interface Progress {
  /** What is going on now. */
  step(text: string): void
  /** So much of the estimated work is done. */
  advance(estimatedMs: number): void
  end(): void
}

export function makeProgress(totalMs: number, output: NodeJS.WriteStream): Progress {
  return output.isTTY ? new BarProgress(totalMs, output) : new LineProgress(totalMs, output)
}

/** Estimates are guesses; how wrong they were so far corrects what is left. */
export function timeLeftMs(totalMs: number, doneMs: number, elapsedMs: number): number {
  const pace = doneMs <= 0 ? 1 : elapsedMs / doneMs
  return Math.max(0, totalMs - doneMs) * pace
}

export function clock(ms: number): string {
  const seconds = Math.round(ms / 1_000)
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`
}

class BarProgress implements Progress {
  readonly #bar: SingleBar
  readonly #totalMs: number
  readonly #startedMs = Date.now()
  #doneMs = 0
  #text = ''

  constructor(totalMs: number, stream: NodeJS.WriteStream) {
    this.#totalMs = totalMs
    this.#bar = new SingleBar({
      stream,
      format: '{bar} {percentage}%  {left} left  {text}',
      barsize: 24,
      hideCursor: true,
      clearOnComplete: true,
    })
    this.#bar.start(totalMs, 0, { left: clock(totalMs), text: '' })
  }

  step(text: string): void {
    this.#text = text
    this.#show()
  }

  advance(estimatedMs: number): void {
    this.#doneMs = Math.min(this.#totalMs, this.#doneMs + estimatedMs)
    this.#show()
  }

  end(): void {
    this.#bar.stop()
  }

  #show(): void {
    const left = timeLeftMs(this.#totalMs, this.#doneMs, Date.now() - this.#startedMs)
    this.#bar.update(this.#doneMs, { left: clock(left), text: this.#text })
  }
}

class LineProgress implements Progress {
  readonly #output: NodeJS.WriteStream
  readonly #totalMs: number
  readonly #startedMs = Date.now()
  #doneMs = 0

  constructor(totalMs: number, output: NodeJS.WriteStream) {
    this.#totalMs = totalMs
    this.#output = output
  }

  step(text: string): void {
    const left = timeLeftMs(this.#totalMs, this.#doneMs, Date.now() - this.#startedMs)
    const percent = Math.floor((100 * this.#doneMs) / Math.max(1, this.#totalMs))
    this.#output.write(`${String(percent).padStart(3)}%  ${clock(left)} left  ${text}\n`)
  }

  advance(estimatedMs: number): void {
    this.#doneMs = Math.min(this.#totalMs, this.#doneMs + estimatedMs)
  }

  end(): void {
    // Lines stay where they are.
  }
}
