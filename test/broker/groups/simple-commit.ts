/** A commit of one offset by somebody who is no member, as group coordinators take it. */
export function simpleCommit(groupId: string, offset: number, topic = 'topic') {
  return {
    groupId,
    client: { clientHost: '/127.0.0.1', clientId: 'client', clientPort: 50_000 },
    memberId: '',
    groupInstanceId: null,
    generationId: -1,
    retentionTimeMs: -1,
    knowsGroupIdNotFound: true,
    offsets: [{ topic, partition: 0, offset, leaderEpoch: -1, metadata: '' }],
  }
}
