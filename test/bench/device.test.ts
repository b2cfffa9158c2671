import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deviceNumber, mountOf, parseBlockStat, parseMountInfo } from '../../bench/device.ts'
import { parseCgroup } from '../../bench/fsync/throttle.ts'

const MOUNTS = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard,errors=remount-ro
26 24 0:24 / /dev/pts rw,relatime - devpts devpts rw,mode=600
40 27 259:3 / /srv/data\\040disk rw,noatime shared:12 master:3 - xfs /dev/nvme0n1p2 rw,attr2
41 27 0:44 / /srv rw - tmpfs tmpfs rw,size=4k
42 27 0:45 / /srv rw - tmpfs later rw,size=8k
garbage
`

test('mounts, with and without tags, names with spaces', () => {
  const mounts = parseMountInfo(MOUNTS)
  assert.equal(mounts.length, 5)
  assert.deepEqual(mounts[0], {
    number: '254:0',
    mountPoint: '/',
    type: 'ext4',
    source: '/dev/vda',
    options: 'rw,relatime,discard,errors=remount-ro',
  })
  assert.equal(mounts[2]?.mountPoint, '/srv/data disk')
  assert.equal(mounts[2].source, '/dev/nvme0n1p2')
})

test('a path lies on the longest mount point above it, and on the last of equal ones', () => {
  const mounts = parseMountInfo(MOUNTS)
  assert.equal(mountOf(mounts, '/var/tmp')?.source, '/dev/vda')
  assert.equal(mountOf(mounts, '/srv/data disk/x')?.type, 'xfs')
  assert.equal(mountOf(mounts, '/srv/data')?.source, 'later')
  assert.equal(mountOf(mounts, '/srvx')?.source, '/dev/vda')
  assert.equal(mountOf([], '/'), null)
})

test('counters of a block device', () => {
  const line =
    '  290627 36719 9483682 628726 1895143 761152 230224240 3728301 0 445872 4718598 673318 1802 214417248 223870 500234 137700\n'
  assert.deepEqual(parseBlockStat(line), {
    writes: 1_895_143,
    flushes: 500_234,
    writtenBytes: 230_224_240 * 512,
    readBytes: 9_483_682 * 512,
  })
  // Before Linux 5.5 flushes were not counted.
  assert.equal(parseBlockStat('1 2 3 4 5 6 7 8 9 10 11').flushes, 0)
})

test('device numbers as stat() packs them', () => {
  assert.equal(deviceNumber(0xfe00), '254:0')
  assert.equal(deviceNumber((259 << 8) | 2), '259:2')
  assert.equal(deviceNumber(0x10_0000 + (8 << 8) + 1), '8:257')
})

test('control groups of a process, version 1 and 2', () => {
  const text = '13:blkio:/user/one\n5:cpu,cpuacct:/two:odd\n0::/unified\n'
  assert.equal(parseCgroup(text, 'blkio'), '/user/one')
  assert.equal(parseCgroup(text, 'cpuacct'), '/two:odd')
  assert.equal(parseCgroup(text, ''), '/unified')
  assert.equal(parseCgroup(text, 'memory'), '/')
})
