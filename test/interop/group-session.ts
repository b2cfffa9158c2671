import { setTimeout as sleep } from 'node:timers/promises'

import { errorName } from '../../protocol/errors.ts'
import { offsetCommitRequest, offsetCommitResponse } from '../../protocol/messages/08-offset-commit.ts'
import { offsetFetchRequest, offsetFetchResponse } from '../../protocol/messages/09-offset-fetch.ts'
import {
  findCoordinatorRequest,
  findCoordinatorResponse,
} from '../../protocol/messages/10-find-coordinator.ts'
import { joinGroupRequest, joinGroupResponse } from '../../protocol/messages/11-join-group.ts'
import type { JoinGroupResponse } from '../../protocol/messages/11-join-group.ts'
import { heartbeatRequest, heartbeatResponse } from '../../protocol/messages/12-heartbeat.ts'
import { leaveGroupRequest, leaveGroupResponse } from '../../protocol/messages/13-leave-group.ts'
import { syncGroupRequest, syncGroupResponse } from '../../protocol/messages/14-sync-group.ts'
import { describeGroupsRequest, describeGroupsResponse } from '../../protocol/messages/15-describe-groups.ts'
import { listGroupsRequest, listGroupsResponse } from '../../protocol/messages/16-list-groups.ts'
import { deleteGroupsRequest, deleteGroupsResponse } from '../../protocol/messages/42-delete-groups.ts'
import { offsetDeleteRequest, offsetDeleteResponse } from '../../protocol/messages/47-offset-delete.ts'
import type { Encodable, MessageSchema } from '../../protocol/schema.ts'
import { subscription } from '../core/group/group-fixture.ts'
import { RawClient } from '../support/raw-client.ts'
import type { Call } from '../support/raw-client.ts'

export type Joined = Pick<JoinGroupResponse, 'memberId' | 'generationId' | 'protocolType' | 'protocolName'>

/** What a request of a scenario is; what is left out is ordinary. */
type Changes = Record<string, unknown>

/** Free text and what a broker decides for itself. */
const NOT_COMPARED = new Set(['throttleTimeMs', 'errorMessage', 'nodeId', 'host', 'port', 'topicId'])
const PATIENCE_MS = 20_000

/**
 * One group, talked to in requests of chosen versions. What comes back is written down with the error codes as names
 * and the member ids as letters, so that the transcripts of two brokers can be compared.
 */
export class GroupSession {
  readonly groupId: string
  readonly #port: number
  readonly #clients: RawClient[] = []
  readonly #letters = new Map<string, string>()
  readonly #answers: { readonly what: string; readonly answer: unknown }[] = []
  #main: RawClient | null = null

  constructor(port: number, groupId: string) {
    this.#port = port
    this.groupId = groupId
  }

  close(): void {
    for (const client of this.#clients) client.close()
  }

  /** Sorted: which of several parked requests is answered first is nobody's business. */
  transcript(): string[] {
    return this.#answers.map(({ what, answer }) => `${what}: ${this.#text(answer)}`).toSorted()
  }

  /** Waits until the coordinator answers for this group at all. */
  async ready(): Promise<void> {
    const find = { request: findCoordinatorRequest, response: findCoordinatorResponse, version: 3 }
    await this.#until(async () => {
      const found = await this.#call(find, { key: this.groupId })
      const { groups } = await this.#describe()
      return found.errorCode === 0 && groups[0]!.errorCode === 0
    })
  }

  /** Waits until the group is in this state with so many members. */
  async settled(state: string, members: number): Promise<void> {
    await this.#until(async () => {
      const [group] = (await this.#describe()).groups
      return group!.groupState === state && group!.members.length === members
    })
  }

  /** On a connection of its own, as it may be parked. The first id that comes back gets the name. */
  async join(name: string, version: number, changes: Changes = {}): Promise<JoinGroupResponse> {
    const answer = await this.#call(
      { request: joinGroupRequest, response: joinGroupResponse, version },
      {
        groupId: this.groupId,
        sessionTimeoutMs: 6_000,
        ...(version < 1 ? {} : { rebalanceTimeoutMs: 30_000 }),
        memberId: '',
        protocolType: 'consumer',
        protocols: [{ name: 'range', metadata: subscription('topic') }],
        ...changes,
      },
      await this.#connect(),
    )
    if (answer.memberId !== '' && !this.#letters.has(answer.memberId)) {
      this.#letters.set(answer.memberId, name)
    }
    return this.#note(`join ${name} v${version}`, answer)
  }

  async sync(
    name: string,
    version: number,
    joined: Joined,
    assignments: Readonly<Record<string, string>> = {},
    changes: Changes = {},
  ): Promise<void> {
    const { memberId, generationId, protocolType, protocolName } = joined
    const answer = await this.#call(
      { request: syncGroupRequest, response: syncGroupResponse, version },
      {
        groupId: this.groupId,
        memberId,
        generationId,
        ...(version < 5
          ? {}
          : { protocolType: protocolType ?? 'consumer', protocolName: protocolName ?? 'range' }),
        assignments: Object.entries(assignments).map(([assigned, assignment]) => ({
          memberId: assigned,
          assignment: Buffer.from(assignment),
        })),
        ...changes,
      },
      await this.#connect(),
    )
    this.#note(`sync ${name} v${version}`, answer)
  }

  async heartbeat(name: string, joined: Partial<Joined>, changes: Changes = {}, version = 4): Promise<void> {
    const { memberId = '', generationId = -1 } = joined
    const call = { request: heartbeatRequest, response: heartbeatResponse, version }
    const answer = await this.#call(call, { groupId: this.groupId, memberId, generationId, ...changes })
    this.#note(`heartbeat ${name} v${version}`, answer)
  }

  async leave(name: string, version: number, changes: Changes): Promise<void> {
    const call = { request: leaveGroupRequest, response: leaveGroupResponse, version }
    const members = version < 3 ? {} : { members: [] }
    const answer = await this.#call(call, { groupId: this.groupId, ...members, ...changes })
    this.#note(`leave ${name} v${version}`, answer)
  }

  /** Partition 0 of "topic", unless the changes say otherwise. */
  async commit(name: string, version: number, changes: Changes = {}): Promise<void> {
    const partitions = [{ partitionIndex: 0, committedOffset: 5, committedMetadata: 'm' }]
    const call = { request: offsetCommitRequest, response: offsetCommitResponse, version }
    const answer = await this.#call(call, {
      groupId: this.groupId,
      memberId: '',
      topics: [{ name: 'topic', partitions }],
      ...changes,
    })
    this.#note(`commit ${name} v${version}`, answer)
  }

  async fetch(name: string, version: number, partitionIndexes: readonly number[] | null): Promise<void> {
    const topics = partitionIndexes === null ? null : [{ name: 'topic', partitionIndexes }]
    const { groupId } = this
    const call = { request: offsetFetchRequest, response: offsetFetchResponse, version }
    const asked = { groupId, topics }
    const answer = await this.#call(call, version < 8 ? asked : { groups: [asked] })
    this.#note(`fetch ${name} v${version}`, answer)
  }

  async describe(name: string, version = 5, changes: Changes = {}): Promise<void> {
    this.#note(`describe ${name} v${version}`, await this.#describe(version, changes))
  }

  async list(statesFilter: readonly string[], typesFilter: readonly string[]): Promise<void> {
    const call = { request: listGroupsRequest, response: listGroupsResponse, version: 5 }
    const answer = await this.#call(call, { statesFilter, typesFilter })
    const groups = answer.groups.filter(({ groupId }) => groupId === this.groupId)
    this.#note(`list ${statesFilter.join()}/${typesFilter.join()}`, { ...answer, groups })
  }

  async delete(name: string, ...more: readonly string[]): Promise<void> {
    const call = { request: deleteGroupsRequest, response: deleteGroupsResponse, version: 2 }
    this.#note(`delete ${name}`, await this.#call(call, { groupsNames: [this.groupId, ...more] }))
  }

  async deleteOffsets(name: string, topic: string, ...partitions: readonly number[]): Promise<void> {
    const topics = [{ name: topic, partitions: partitions.map((partitionIndex) => ({ partitionIndex })) }]
    const call = { request: offsetDeleteRequest, response: offsetDeleteResponse, version: 0 }
    this.#note(`delete offsets ${name}`, await this.#call(call, { groupId: this.groupId, topics }))
  }

  async findCoordinator(version: number, changes: Changes): Promise<void> {
    const call = { request: findCoordinatorRequest, response: findCoordinatorResponse, version }
    this.#note(`find coordinator v${version}`, await this.#call(call, changes))
  }

  #describe(version = 5, changes: Changes = {}) {
    const call = { request: describeGroupsRequest, response: describeGroupsResponse, version }
    return this.#call(call, { groups: [this.groupId], ...changes })
  }

  async #call<Request extends MessageSchema, Response extends MessageSchema>(
    call: Call<Request, Response>,
    body: Changes,
    client?: RawClient,
  ) {
    this.#main ??= await this.#connect()
    // Scenarios say what they change by field names; the encoder refuses what does not fit.
    return (client ?? this.#main).send(call, body as Encodable<Request>)
  }

  async #connect(): Promise<RawClient> {
    const client = await RawClient.connect(this.#port)
    this.#clients.push(client)
    return client
  }

  async #until(reached: () => Promise<boolean>): Promise<void> {
    for (let waitedMs = 0; !(await reached()); waitedMs += 10) {
      if (waitedMs > PATIENCE_MS) throw new Error(`${this.groupId} does not get there`)
      await sleep(10)
    }
  }

  #note<Answer>(what: string, answer: Answer): Answer {
    this.#answers.push({ what, answer })
    return answer
  }

  #text(answer: unknown): string {
    let text = JSON.stringify(answer, (key, value: unknown) => this.#field(key, value))
    for (const [memberId, letter] of this.#letters) text = text.replaceAll(memberId, letter)
    return text.replaceAll(this.groupId, 'the group')
  }

  #field(key: string, value: unknown): unknown {
    if (NOT_COMPARED.has(key)) return undefined
    if (key === 'errorCode') return errorName(Number(value))
    if (isBufferJson(value)) return Buffer.from(value.data).toString('latin1')
    if (Array.isArray(value)) {
      const order = (element: unknown) => this.#order(element)
      return value.toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
    }
    return value
  }

  /** Lists are sets: in which order brokers keep them is their business. */
  #order(element: unknown): string {
    const found = /"(?:memberId|partitionIndex|groupId|name|key)":("[^"]*"|-?\d+)/.exec(
      JSON.stringify(element),
    )
    const value = (found?.[1] ?? '').replaceAll('"', '')
    return this.#letters.get(value) ?? value
  }
}

function isBufferJson(value: unknown): value is { type: 'Buffer'; data: number[] } {
  return typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer'
}
