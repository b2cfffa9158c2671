import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBrokerConfig } from '../../../src/core/config/broker-config.ts'
import type { SamsaError } from '../../../src/core/samsa-error.ts'
import { Registration } from '../../../src/metadata/changes/registration.ts'
import { ControllerElection } from '../../../src/metadata/cluster/controller-election.ts'
import { Membership } from '../../../src/metadata/cluster/membership.ts'
import type { MembershipParts, RegisteredSession } from '../../../src/metadata/cluster/membership.ts'
import { decodeBroker, paths, whole } from '../../../src/metadata/layout/znodes.ts'
import { EmbeddedStore } from '../../../src/system/store/embedded-store.ts'
import type { SimProcess } from '../../simulator/sim-machine.ts'
import { SimRandom } from '../../simulator/sim-random.ts'
import { SimWorld } from '../../simulator/sim-world.ts'
import { SimZooKeeper } from '../../simulator/sim-zookeeper.ts'
import type { SimSession } from '../../simulator/sim-zookeeper.ts'

const SESSION_MS = 2_000

/** Brokers on one ensemble, as far as their registrations go. */
class Ensemble {
  readonly sim: SimWorld
  readonly process: SimProcess
  readonly zookeeper: SimZooKeeper
  readonly sessions: SimSession[] = []
  readonly lost: SamsaError[] = []

  private constructor(sim: SimWorld, process: SimProcess, store: EmbeddedStore) {
    this.sim = sim
    this.process = process
    this.zookeeper = new SimZooKeeper(store, process.world.clock, new SimRandom(sim.seed))
  }

  static run(body: (ensemble: Ensemble) => Promise<void>, seed = 1): Promise<void> {
    const sim = new SimWorld(seed)
    return sim.run(async () => {
      const process = sim.start()
      await body(new Ensemble(sim, process, await EmbeddedStore.open(process.world, '/zookeeper')))
    })
  }

  parts(brokerId: number, more: Partial<MembershipParts> = {}): MembershipParts {
    const { world } = this.process
    const values = new Map([
      ['broker.id', String(brokerId)],
      ['log.dirs', '/data'],
      ['listeners', 'PLAINTEXT://:9092,INTERNAL://10.0.0.1:9093'],
      ['listener.security.protocol.map', 'PLAINTEXT:PLAINTEXT,INTERNAL:PLAINTEXT'],
      ['broker.rack', 'r1'],
      ['zookeeper.connect', 'z:2181'],
    ])
    const { config } = parseBrokerConfig([{ source: 'STATIC_BROKER_CONFIG', origin: 'test', values }])
    return {
      world,
      config,
      registration: new Registration(world, config, 'machine'),
      openStore: () => {
        const session = this.zookeeper.connect(SESSION_MS)
        this.sessions.push(session)
        return Promise.resolve(session)
      },
      clusterId: null,
      cleanShutdownEpoch: -1,
      lost: (error) => this.lost.push(error),
      ...more,
    }
  }

  async node(path: string): Promise<Buffer | null> {
    return (await this.zookeeper.connect(SESSION_MS).get(path))?.data ?? null
  }
}

describe('a member', () => {
  test('says where it is, in which rack, and which epochs are its own', () =>
    Ensemble.run(async (ensemble) => {
      const member = await Membership.join(ensemble.parts(3, { cleanShutdownEpoch: 17 }))
      const path = paths.brokerId(3)
      const { endpoints, rack, lineage } = whole(decodeBroker(path, (await ensemble.node(path))!))
      assert.deepEqual(endpoints.get('PLAINTEXT'), { host: 'machine', port: 9092 })
      assert.deepEqual(endpoints.get('INTERNAL'), { host: '10.0.0.1', port: 9093 })
      assert.deepEqual([rack, lineage], ['r1', [17]])
      assert.ok(member.isOwnEpoch(member.brokerEpoch))
      assert.ok(!member.isOwnEpoch(17), 'that was another process')
      await member.close()
      assert.equal(await ensemble.node(path), null)
    }))

  test('of a session that is over registers anew, as the same process', () =>
    Ensemble.run(async (ensemble) => {
      const member = await Membership.join(ensemble.parts(3))
      const epochs: number[] = []
      const events: string[] = []
      member.listen({
        registered: ({ brokerEpoch }) => {
          epochs.push(brokerEpoch)
          events.push('registered')
        },
        ended: () => events.push('ended'),
      })
      await ensemble.sessions[0]!.expire()
      await ensemble.sim.sleep(3 * SESSION_MS)
      assert.deepEqual(events, ['registered', 'ended', 'registered'])
      assert.ok(epochs[1]! > epochs[0]!)
      assert.deepEqual(
        epochs.map((epoch) => member.isOwnEpoch(epoch)),
        [true, true],
      )
      const path = paths.brokerId(3)
      assert.deepEqual(whole(decodeBroker(path, (await ensemble.node(path))!)).lineage, [epochs[0]])
      assert.deepEqual(ensemble.lost, [])
      await member.close()
    }))

  test('does not take the place of another one that lives', () =>
    Ensemble.run(async (ensemble) => {
      const member = await Membership.join(ensemble.parts(3))
      await assert.rejects(Membership.join(ensemble.parts(3)), {
        code: 'SAMSA_METADATA_STORE',
        message: /broker\.id=3: another broker is registered as 3/,
      })
      assert.notEqual(await ensemble.node(paths.brokerId(3)), null)
      await member.close()
    }))

  test('of another cluster does not join, and an emptied ensemble is not taken for a new one', () =>
    Ensemble.run(async (ensemble) => {
      const ofDirectories = ensemble.parts(1, { clusterId: 'BBBBBBBBQACAAAAAAAAAAQ' })
      await assert.rejects(Membership.join(ofDirectories), {
        code: 'SAMSA_METADATA_STORE',
        message:
          /^zookeeper\.connect=z:2181: there is no cluster here yet, and log\.dirs=.*: meta\.properties says cluster BBBB/,
      })
      await (await Membership.join(ensemble.parts(2))).close()
      await assert.rejects(Membership.join(ofDirectories), {
        code: 'SAMSA_METADATA_STORE',
        message:
          /^log\.dirs=.*: meta\.properties says cluster BBBB.*, and the metadata in zookeeper\.connect=z:2181 is that of cluster /,
      })
    }))

  test('does not make topics anew that somebody took away: without them nobody has any logs', () =>
    Ensemble.run(async (ensemble) => {
      await (await Membership.join(ensemble.parts(3))).close()
      const witness = ensemble.zookeeper.connect(SESSION_MS)
      await witness.delete(paths.topics, -1)
      await witness.delete(paths.topicConfigs, -1)
      await (await Membership.join(ensemble.parts(3))).close()
      assert.deepEqual(await ensemble.node(paths.topics), null)
      assert.notEqual(await ensemble.node(paths.topicConfigs), null)
    }))

  test('whose ensemble became another one meanwhile ends', () =>
    Ensemble.run(async (ensemble) => {
      const member = await Membership.join(ensemble.parts(3))
      member.listen({ registered: () => {}, ended: () => {} })
      const witness = ensemble.zookeeper.connect(SESSION_MS)
      await witness.set(paths.clusterId, Buffer.from('{"version":"1","id":"other"}'), -1)
      await ensemble.sessions[0]!.expire()
      await ensemble.sim.sleep(3 * SESSION_MS)
      assert.match(ensemble.lost[0]?.message ?? '', /it is not that of cluster/)
      await member.close()
    }))
})

describe('the controller', () => {
  const stand = (ensemble: Ensemble, id: number, { store }: RegisteredSession, told: string[]) => {
    let resign = (): void => {}
    const election = new ControllerElection(store, ensemble.process.world, id, {
      elected: () => {
        told.push(`${id} governs`)
        return new Promise((resolve) => (resign = resolve))
      },
      deposed: () => told.push(`${id} is deposed`),
      controllerIs: (other) => told.push(`${id} follows ${other}`),
    })
    return { election, resign: () => resign() }
  }

  test('is one of the brokers; when it goes another one is, and hears of it at once', () =>
    Ensemble.run(async (ensemble) => {
      const told: string[] = []
      const members = [
        await Membership.join(ensemble.parts(1)),
        await Membership.join(ensemble.parts(2)),
        await Membership.join(ensemble.parts(3)),
      ]
      for (const [at, member] of members.entries()) {
        stand(ensemble, at + 1, member.session!, told)
        await ensemble.sim.sleep(100)
      }
      assert.deepEqual(told.splice(0), ['1 governs', '2 follows 1', '3 follows 1'])
      await members[0]!.close()
      await ensemble.sim.sleep(200)
      const governs = told.filter((line) => line.endsWith('governs'))
      assert.equal(governs.length, 1, told.join())
      assert.ok(
        told.some((line) => /^[23] follows [23]$/.test(line)),
        told.join(),
      )
      await members[1]!.close()
      await members[2]!.close()
    }))

  test('that resigns leaves the office to others', () =>
    Ensemble.run(async (ensemble) => {
      const told: string[] = []
      const [one, two] = [await Membership.join(ensemble.parts(1)), await Membership.join(ensemble.parts(2))]
      const first = stand(ensemble, 1, one.session!, told)
      await ensemble.sim.sleep(100)
      stand(ensemble, 2, two.session!, told)
      await ensemble.sim.sleep(100)
      first.resign()
      await ensemble.sim.sleep(500)
      assert.deepEqual(told.slice(0, 2), ['1 governs', '2 follows 1'])
      assert.ok(told.includes('2 governs') && told.includes('1 follows 2'), told.join())
      assert.ok(!told.includes('1 governs', 1), told.join())
      await one.close()
      await two.close()
    }))

  test('that stops leaves no office behind, however far it came', () =>
    Ensemble.run(async (ensemble) => {
      const member = await Membership.join(ensemble.parts(1))
      for (let afterMs = 0; afterMs < 20; afterMs++) {
        const { election } = stand(ensemble, 1, member.session!, [])
        await ensemble.sim.sleep(afterMs / 2)
        await election.retire()
        await ensemble.sim.sleep(100)
        assert.equal(await ensemble.node(paths.controller), null, `after ${afterMs / 2} ms`)
      }
      await member.close()
    }))

  test('whose node somebody takes away by hand is deposed', () =>
    Ensemble.run(async (ensemble) => {
      const told: string[] = []
      const member = await Membership.join(ensemble.parts(1))
      stand(ensemble, 1, member.session!, told)
      await ensemble.sim.sleep(100)
      await ensemble.zookeeper.connect(SESSION_MS).delete(paths.controller, -1)
      await ensemble.sim.sleep(300)
      assert.deepEqual(told, ['1 governs', '1 is deposed'])
      await member.close()
    }))
})
