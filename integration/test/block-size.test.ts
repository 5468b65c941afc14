/** Partitions of every block size: made by the command line, told on the wire, used by host and clients. */
import { type BlockDevice, connect } from '@platter/initiator'
import t from 'tap'
import { askAdmin } from '../lib/admin-api.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { requires } from '../lib/requires.ts'
import { type PartitionInfo, TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(300_000)
const MiB = 2 ** 20

const sizes = [
  { blockSize: '512', logical: 512, exponent: 0 },
  { blockSize: '512e', logical: 512, exponent: 3 },
  { blockSize: '4kn', logical: 4096, exponent: 0 },
] as const

const target = await TargetProcess.start()
await target.createPartition({
  directory: temporaryDirectory(),
  disks: 2,
  diskSize: '32M',
  chunk: '64K',
  array: 'array',
  partition: 'plain',
  size: '4M',
})
for (const { blockSize } of sizes) {
  const name = `p${blockSize}`
  const wanted = { array: 'array', name, sizeBytes: 4 * MiB, blockSize, host: '*' }
  await askAdmin(target.stateDirectory, 'POST', '/api/v1/partitions', wanted)
}

t.test('a partition keeps the block size that it was created with', async (t) => {
  const list = () => target.command<PartitionInfo[]>('partition', 'list')
  const before = await list()
  t.strictSame(
    before.map(({ name, blockSize }) => [name, blockSize]),
    [
      ['plain', '512e'],
      ['p512', '512'],
      ['p512e', '512e'],
      ['p4kn', '4kn'],
    ],
  )
  const listed = (await target.try('partition', 'list')).stdout
  t.match(listed, /array\/p4kn +4 MiB \(\d+\) +4kn +all hosts as LUN 3 /)
  await target.kill()
  await target.serve()
  t.strictSame(await list(), before)
})

t.test('a size that is not whole blocks is refused, and says of which', async (t) => {
  const refused = (what: string[], message: RegExp) =>
    target.try('partition', ...what).then(({ status, stderr }) => {
      t.equal(status, 1)
      t.match(stderr, message)
    })
  const create = (blockSize: string, size: string) => [
    ...['create', 'array/x', '--block-size', blockSize],
    ...['--size', size],
  ]
  await refused(create('4kn', '1000'), /size 1000 is not a positive multiple of 4096, .* 4kn/)
  await refused(create('512e', '512'), /size 512 is not a positive multiple of 4096, .* 512e/)
  await refused(create('512', '1000'), /size 1000 is not a positive multiple of 512, .* 512\n/)
  const tail = String(4 * MiB + 512)
  await refused(['grow', 'array/p4kn', '--size', tail], /not a positive multiple of 4096/)
  const made = await target.command<PartitionInfo>('partition', ...create('512', tail))
  t.match(made, { blockSize: '512', sizeBytes: 4 * MiB + 512 })
  await target.command('partition', 'delete', 'array/x', '--yes')
  const unknown = await target.try('partition', ...create('520', '1M'))
  t.equal(unknown.status, 2)
  t.match(unknown.stderr, /Allowed choices are 512, 512e, 4kn/)
})

t.test('the host reads and writes any bytes over blocks of any size', async (t) => {
  const portal = { host: '127.0.0.1', port: target.port }
  const connected = await connect(portal, await target.targetName())
  for (const { blockSize, logical } of sizes) {
    const device = connected.devices.find(({ name }) => name === `p${blockSize}`) as BlockDevice
    t.match(device, { blockSizeBytes: logical, sizeBytes: 4 * MiB })
    const model = Buffer.alloc(device.sizeBytes)
    const writes: Promise<void>[] = []
    for (let index = 0; index < 100; index++) {
      // Within a block, over the edges of blocks, upon each other; the last byte as well.
      const length = 1 + ((index * 7907) % (index % 8 === 0 ? 300_000 : 6000))
      const offset = index === 99 ? model.length - length : (index * 7919 * 331) % (3 * MiB)
      const data = Buffer.alloc(length, `write ${index};`)
      data.copy(model, offset)
      writes.push(io((done) => device.write(offset, data, 0, length, done)))
    }
    await Promise.all(writes)
    const whole = Buffer.alloc(model.length)
    await io((done) => device.read(0, whole, 0, whole.length, done))
    t.ok(whole.equals(model), blockSize)
    const part = Buffer.alloc(4999)
    await io((done) => device.read(1_234_567, part, 0, part.length, done))
    t.ok(part.equals(model.subarray(1_234_567, 1_234_567 + part.length)), blockSize)
  }
  await connected.close()
})

t.test('other clients see the same block sizes', requires('clients'), async (t) => {
  for (const [index, { logical, exponent }] of sizes.entries()) {
    const url = await target.url(index + 1)
    const said = await runOk('iscsi-readcapacity16', [url])
    const last = (4 * MiB) / logical - 1
    t.match(said, new RegExp(`RETURNED LOGICAL BLOCK ADDRESS:${last}\\b`))
    t.match(said, new RegExp(`LOGICAL BLOCK LENGTH IN BYTES:${logical}\\b`))
    t.match(said, new RegExp(`LOGICAL BLOCKS PER PHYSICAL BLOCK EXPONENT:${exponent}\\b`))
    t.match(said, /LOWEST ALIGNED LOGICAL BLOCK ADDRESS:0\b/)
  }
})

function io(start: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => (error === null ? resolve() : reject(error)))
  })
}
