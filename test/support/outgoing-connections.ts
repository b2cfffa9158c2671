/** What every network owes to those who connect. The simulated one and the real one are held to it. */
import assert from 'node:assert/strict'
import type { Address, CloseReason, Connection, Listener, Network } from '../../src/ports.ts'

/** Two machines, or twice the same. */
export interface TwoSides {
  readonly listening: Network
  readonly dialling: Network
  /** By this name the dialling one reaches the listening one. */
  readonly host: string
}

/** What one end of a connection has seen. */
export class SeenEnd {
  readonly received: Buffer[] = []
  readonly events: string[] = []
  readonly closed: Promise<CloseReason>
  connection: Connection | null = null
  #close!: (reason: CloseReason) => void
  #waiting: { readonly length: number; readonly resolve: (text: string) => void }[] = []

  constructor() {
    this.closed = new Promise((resolve) => (this.#close = resolve))
  }

  get text(): string {
    return Buffer.concat(this.received).toString()
  }

  /** Resolves when it has received so much. */
  has(length: number): Promise<string> {
    return new Promise((resolve) => {
      this.#waiting.push({ length, resolve })
      this.#wake()
    })
  }

  #wake(): void {
    const { text } = this
    this.#waiting = this.#waiting.filter(({ length, resolve }) => {
      if (text.length >= length) resolve(text)
      return text.length < length
    })
  }

  connected = (): void => void this.events.push('connected')
  drained = (): void => void this.events.push('drained')
  failed = (error: unknown): never => {
    throw error
  }

  bytes = (slab: Buffer, start: number, end: number): void => {
    if (this.received.length === 0) this.events.push('bytes')
    this.received.push(Buffer.from(slab.subarray(start, end)))
    this.#wake()
  }

  closedNow = (reason: CloseReason): void => {
    this.events.push(reason)
    this.#close(reason)
  }

  get receiver() {
    const { bytes, drained, failed, connected, closedNow } = this
    return { bytes, drained, failed, connected, closed: closedNow }
  }
}

interface Meeting {
  readonly address: Address
  readonly listener: Listener
  /** The next connection that is accepted. */
  accepted(): Promise<SeenEnd>
}

async function listen({ listening, host }: TwoSides): Promise<Meeting> {
  const ends: SeenEnd[] = []
  const takers: ((end: SeenEnd) => void)[] = []
  const listener = await listening.listen({ host, port: 0 }, (connection) => {
    const end = new SeenEnd()
    end.connection = connection
    const taker = takers.shift()
    if (taker === undefined) ends.push(end)
    else taker(end)
    return end.receiver
  })
  return {
    address: { host, port: listener.address.port },
    listener,
    accepted: () =>
      new Promise((resolve) => {
        const end = ends.shift()
        if (end === undefined) takers.push(resolve)
        else resolve(end)
      }),
  }
}

function dial({ dialling }: TwoSides, address: Address): SeenEnd {
  const end = new SeenEnd()
  end.connection = dialling.connect(address, end.receiver)
  return end
}

const bytes = (text: string): Buffer[] => [Buffer.from(text)]

export const outgoingConnections: Readonly<Record<string, (sides: TwoSides) => Promise<void>>> = {
  'what is written before it is connected leaves when it is, and the answer comes back': async (sides) => {
    const meeting = await listen(sides)
    const near = dial(sides, meeting.address)
    assert.deepEqual(near.connection!.remote, meeting.address)
    assert.deepEqual(near.connection!.local, { host: '', port: 0 })
    near.connection!.write(bytes('early'))
    assert.equal(near.connection!.unsentBytes, 5)
    const far = await meeting.accepted()
    assert.equal(await far.has(5), 'early')
    far.connection!.write(bytes('answer'))
    assert.equal(await near.has(6), 'answer')
    assert.equal(near.events.indexOf('connected'), 0)
    assert.ok(near.events.includes('drained'))
    assert.deepEqual(near.connection!.local, far.connection!.remote)
    far.connection!.destroy()
    assert.ok(['ended', 'reset'].includes(await near.closed))
    await meeting.listener.close()
  },
  'ended before it is connected: all arrives, then the end': async (sides) => {
    const meeting = await listen(sides)
    const near = dial(sides, meeting.address)
    near.connection!.write(bytes('all there is'))
    near.connection!.end()
    const far = await meeting.accepted()
    assert.equal(await far.closed, 'ended')
    assert.equal(far.text, 'all there is')
    await near.closed
    await meeting.listener.close()
  },
  'destroyed before it is connected: told once, in a later turn, and nothing else': async (sides) => {
    const meeting = await listen(sides)
    const near = dial(sides, meeting.address)
    near.connection!.write(bytes('never'))
    near.connection!.destroy()
    near.connection!.destroy()
    assert.deepEqual(near.events, [])
    assert.equal(await near.closed, 'destroyed')
    // Whoever comes later is served.
    const second = dial(sides, meeting.address)
    second.connection!.write(bytes('second'))
    let far = await meeting.accepted()
    if ((await Promise.race([far.closed, far.has(6)])) !== 'second') far = await meeting.accepted()
    assert.equal(await far.has(6), 'second')
    assert.deepEqual(near.events, ['destroyed'])
    second.connection!.destroy()
    await far.closed
    await meeting.listener.close()
  },
  'nobody listens: refused': async (sides) => {
    const meeting = await listen(sides)
    await meeting.listener.close()
    const near = dial(sides, meeting.address)
    near.connection!.write(bytes('hello'))
    assert.equal(await near.closed, 'refused')
    assert.deepEqual(near.events, ['refused'])
  },
  'a name that nobody knows: unreachable': async (sides) => {
    const near = dial(sides, { host: 'no-such-host.invalid', port: 9092 })
    assert.equal(await near.closed, 'unreachable')
    assert.deepEqual(near.events, ['unreachable'])
  },
}
