/** Other people's clients against platterd: libiscsi's tools and qemu. */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run, runOk } from '../lib/command.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
const needs = requires('clients')

const MiB = 2 ** 20
const firstBytes = 192 * MiB
const secondBytes = 64 * MiB
const directory = temporaryDirectory()
const target = await TargetProcess.start()
const first = await target.createPartition({
  directory,
  disks: 4,
  diskSize: '128M',
  chunk: '64K',
  array: 'fast',
  partition: 'first',
  size: '192M',
})
const second = await target.addPartition('fast/second', '64M')
const url = await target.url(first.lun)
const secondUrl = await target.url(second.lun)

function inquireVpd(lunUrl: string, page: number): Promise<string> {
  return runOk('iscsi-inq', ['-e', '1', '-c', String(page), lunUrl])
}

async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path)) hash.update(chunk)
  return hash.digest('hex')
}

t.test(
  'iscsi-ls finds the target, its portal and every partition with its size',
  needs,
  async (t) => {
    const listed = await runOk('iscsi-ls', ['-s', `iscsi://${target.portal}`])
    t.match(listed, `Target:${await target.targetName()} Portal:${target.portal},`)
    t.match(listed, new RegExp(`Lun:${first.lun} .*DIRECT_ACCESS.*Size:(191|192)M`))
    t.match(listed, new RegExp(`Lun:${second.lun} .*DIRECT_ACCESS.*Size:(63|64)M`))
    t.equal(listed.match(/DIRECT_ACCESS/g)?.length, 2, 'and nothing else')
  },
)

t.test('iscsi-inq reads the standard data and each vital product data page', needs, async (t) => {
  t.match(await runOk('iscsi-inq', [url]), /DIRECT_ACCESS[\s\S]*Vendor:PLATTER/i)
  const supported = await inquireVpd(url, 0x00)
  for (const page of ['0x00', '0x80', '0x83', '0xb0', '0xb1', '0xb2']) {
    t.match(supported, `Page:${page}`, `page ${page} is in the list of supported pages`)
  }
  t.match(await inquireVpd(url, 0x80), /Unit Serial Number:\[\S+\]/)
  t.match(await inquireVpd(url, 0x83), /Association:\(0\) LOGICAL_UNIT[\s\S]*NAA/)
  t.match(await inquireVpd(url, 0xb0), /maximum transfer length:[1-9]/)
  t.match(await inquireVpd(url, 0xb1), /Medium Rotation Rate:/)
  t.match(await inquireVpd(url, 0xb2), /provisioning type:/)
})

t.test('serial numbers differ between partitions and outlive a restart', needs, async (t) => {
  const before = [await inquireVpd(url, 0x80), await inquireVpd(secondUrl, 0x80)]
  const designators = await inquireVpd(url, 0x83)
  t.not(before[0], before[1])
  t.equal(await target.stop(), 0)
  await target.serve()
  t.strictSame([await inquireVpd(url, 0x80), await inquireVpd(secondUrl, 0x80)], before)
  t.equal(await inquireVpd(url, 0x83), designators)
})

t.test('iscsi-readcapacity16 answers with the last block of the partition', needs, async (t) => {
  const answer = await runOk('iscsi-readcapacity16', [url])
  const lastBlock = Number(/LOGICAL BLOCK ADDRESS:(\d+)/.exec(answer)?.[1])
  const blockBytes = Number(/BLOCK LENGTH IN BYTES:(\d+)/.exec(answer)?.[1])
  t.equal((lastBlock + 1) * blockBytes, firstBytes)
  t.match(answer, `Total size:${firstBytes}`)
})

t.test(
  'iscsi-perf reads at random and in order, in small and large transfers',
  needs,
  async (t) => {
    for (const shape of [
      ['-r', '-b', '8', '-m', '32'],
      ['-b', '512', '-m', '16'],
    ]) {
      const said = await runOk('iscsi-perf', ['-t', '1', ...shape, url])
      t.match(said, /iops average [1-9]\d+ [\s\S]*finished/, shape.join(' '))
    }
  },
)

t.test('qemu-img converts an image to a LUN and back without a difference', needs, async (t) => {
  const image = join(directory, 'image')
  const copy = join(directory, 'copy')
  const handle = await open(image, 'w')
  // Data at both ends and in the middle, and holes between them.
  for (const offset of [0, 70 * MiB + 512, firstBytes - 9 * MiB]) {
    await handle.write(randomBytes(9 * MiB), 0, 9 * MiB, offset)
  }
  await handle.close()
  await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', image, url])
  await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, url])
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', url, copy])
  t.equal(await sha256(copy), await sha256(image))
})

t.test('qemu-io reads back the patterns it wrote, at any alignment and depth', needs, async (t) => {
  const commands = [
    'write -P 0x11 0 1M',
    'write -P 0x22 64k 64k',
    'write -P 0x33 100 700',
    'write -f -P 0x44 4M 3M',
    `write -P 0x55 ${secondBytes - 4096} 4096`,
    'flush',
    ...Array.from(
      { length: 24 },
      (_, i) => `aio_write -P ${i + 100} ${16 + i}M ${i % 2 ? '1M' : '68k'}`,
    ),
    'aio_flush',
    'read -P 0x11 800 64736',
    'read -P 0x22 64k 64k',
    'read -P 0x11 128k 896k',
    'read -P 0x33 100 700',
    'read -P 0x44 4M 3M',
    `read -P 0x55 ${secondBytes - 4096} 4096`,
    ...Array.from(
      { length: 24 },
      (_, i) => `read -P ${i + 100} ${16 + i}M ${i % 2 ? '1M' : '68k'}`,
    ),
  ]
  const parameters = commands.flatMap((command) => ['-c', command])
  const said = await run('qemu-io', ['-f', 'raw', ...parameters, secondUrl])
  t.equal(said.status, 0, said.stdout + said.stderr)
  t.notMatch(said.stdout, /verification failed/)
  const wrong = await run('qemu-io', ['-f', 'raw', '-c', 'read -P 0x12 0 512', secondUrl])
  t.match(wrong.stdout, /verification failed/, 'and it would have told a difference')
})

t.test(
  'a write beyond the end of a partition is refused, and its neighbour is untouched',
  needs,
  async (t) => {
    const beyond = ['-f', 'raw', '-c', `write -P 0xee ${secondBytes} 4096`, secondUrl]
    const refused = await run('qemu-io', beyond)
    t.match(refused.stdout + refused.stderr, /failed|past end|Invalid/i)
    const start = await run('qemu-io', ['-f', 'raw', '-c', 'read -P 0xee 0 4096', url])
    t.match(start.stdout, /verification failed/)
  },
)
