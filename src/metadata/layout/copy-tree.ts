import { SamsaError } from '../../core/samsa-error.ts'
import type { MetadataStore } from '../../ports.ts'
import { inPortions } from './in-portions.ts'
import { createIfMissing } from './store-steps.ts'
import { decodeClusterId, paths, whole } from './znodes.ts'

const PORTION = 128

/**
 * Copies all lasting nodes of one store into another one that is empty, or in which an earlier attempt was interrupted. The
 * cluster's id comes last: before it is there nobody takes the copy for a cluster, and from then on it is one: nothing in it
 * is written again. How many nodes were copied. Rejects with SAMSA_METADATA_STORE when another cluster is there.
 */
export async function copyTree(
  from: MetadataStore,
  to: MetadataStore,
  progress: (nodes: number) => void,
): Promise<number> {
  const [own, other] = await Promise.all([from.get(paths.clusterId), to.get(paths.clusterId)])
  if (own === null) throw new SamsaError('SAMSA_METADATA_STORE', 'no broker has ever kept its metadata here')
  if (other !== null && whole(decodeClusterId(other.data)) !== whole(decodeClusterId(own.data)))
    throw new SamsaError(
      'SAMSA_METADATA_STORE',
      `there is a cluster already, ${whole(decodeClusterId(other.data))}: use another chroot in zookeeper.connect`,
    )
  if (other !== null) {
    await checkTopics(from, to)
    return 0
  }
  let copied = 0
  const copy = async (path: string): Promise<void> => {
    const node = await from.get(path)
    if (node === null || node.stat.ephemeral) return
    if (path !== '/' && path !== paths.clusterId) {
      if (!(await createIfMissing(to, path, node.data))) await to.set(path, node.data, -1)
      copied += 1
      progress(copied)
    }
    const children = (await from.children(path)) ?? []
    const below = path === '/' ? '' : path
    await inPortions(children.toSorted(), PORTION, async (portion) => {
      await Promise.all(portion.map((child) => copy(`${below}/${child}`)))
    })
  }
  await copy('/')
  await createIfMissing(to, paths.clusterId, own.data)
  return copied + 1
}

/** All that is here was copied, if this copy was made of what is here now. */
async function checkTopics(from: MetadataStore, to: MetadataStore): Promise<void> {
  const there = new Set(await to.children(paths.topics))
  const missing = (await from.children(paths.topics))?.find((name) => !there.has(name))
  if (missing === undefined) return
  throw new SamsaError(
    'SAMSA_METADATA_STORE',
    `this cluster is there already, and goes on without topic ${missing}, which is only here: use another chroot in zookeeper.connect, or delete the topic`,
  )
}
