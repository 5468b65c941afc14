/** Arrays that lose a disk, or are lied to by one, under what a host does with a mounted partition. */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { decodeSense } from '@platter/protocol/scsi'
import t from 'tap'
import { askAdminOk } from '../lib/admin-api.ts'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { runOk } from '../lib/command.ts'
import { makeFileSystem, reuseFileSystem, treeChecksum } from '../lib/file-system.ts'
import { FuseMount } from '../lib/fuse-mount.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { synchronizeCacheCdb, transferCdb } from '../lib/raw-pdu.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
t.setTimeout(300_000)

const users = requires('mount', 'fuse', 'root', 'loop', 'filesystems')
/** A small tree of files. */
const tree = join(import.meta.dirname, '..', '..', 'packages', 'target', 'src')

interface ArrayInfo {
  readonly state: string
  readonly job: unknown
  readonly disks: readonly string[]
  readonly lastScrub: {
    readonly differingBytes: number
    readonly repairedCount: number
    readonly repaired: readonly { readonly disk: string }[]
  }
}

async function arrayOf({ stateDirectory }: TargetProcess): Promise<ArrayInfo> {
  const arrays = await askAdminOk<ArrayInfo[]>(stateDirectory, 'GET', '/api/v1/arrays')
  return arrays[0] as ArrayInfo
}

async function start(level: string, disks: number, size: string, checksums = false) {
  const directory = temporaryDirectory()
  const target = await TargetProcess.start()
  const { lun } = await target.createPartition({
    directory,
    disks,
    diskSize: '96M',
    chunk: '64K',
    array: 'array',
    level,
    checksums,
    partition: 'data',
    size,
  })
  return { target, lun, disk: (number: number) => join(directory, `disk-${number}`) }
}

for (const [level, disks] of [
  ['raid10', 4],
  ['raid5', 4],
] as const) {
  t.test(
    `${level}: a disk file is deleted under ext4, and a spare takes over`,
    users,
    async (t) => {
      const { target, disk } = await start(level, disks, '128M')
      await target.command('disk', 'create', disk(disks), '--size', '96M')
      await target.command('disk', 'spare', disk(disks))
      const mount = await FuseMount.mount(target.portal)
      const wanted = await treeChecksum(tree)
      await makeFileSystem('ext4', mount.file('data'), async (directory) => {
        const copies: string[] = []
        const copy = async (number: number) => {
          const to = join(directory, `copy-${number}`)
          rmSync(to, { recursive: true, force: true })
          await runOk('cp', ['--archive', tree, to])
          await runOk('sync', ['--file-system', directory])
          if (!copies.includes(to)) copies.push(to)
        }
        await copy(0)
        rmSync(disk(1))
        const isHealed = async () => {
          const { state, job, disks: present } = await arrayOf(target)
          return state === 'available' && job === null && present.includes(disk(disks))
        }
        for (let number = 1; !(await isHealed()); number = (number % 8) + 1) await copy(number)
        for (const it of copies) t.equal(await treeChecksum(it), wanted, it)
        await copy(9)
      })
      await reuseFileSystem('ext4', mount.file('data'), async (directory) => {
        t.equal(await treeChecksum(join(directory, 'copy-9')), wanted)
      })
      await mount.unmount()
      await target.command('array', 'scrub', 'array')
      await target.command('array', 'wait', 'array')
      t.match(await arrayOf(target), { lastScrub: { differingBytes: 0, repairedCount: 0 } })
      t.equal(await target.stop(), 0)
    },
  )
}

/** Where in the data of a disk file this text is; -1 if nowhere. The label says where the data begin. */
function findInData(path: string, text: string): number {
  const bytes = readFileSync(path)
  return bytes.indexOf(text, Number(bytes.readBigUInt64BE(128)))
}

/** Changes a byte of a disk file behind the server's back. */
function flip(path: string, offset: number): void {
  const file = openSync(path, 'r+')
  writeSync(file, '!', offset)
  closeSync(file)
}

const BLOCK_BYTES = 4096
const BLOCK_COUNT = 256
const content = (block: number) => Buffer.alloc(BLOCK_BYTES, `block ${block} of all;`)

async function logIn(target: TargetProcess, lun: number): Promise<RawConnection> {
  const targetName = await target.targetName()
  const connection = await RawConnection.logIn(target.port, { targetName })
  await connection.command(lun, Buffer.alloc(16))
  return connection
}

const cdbOf = (operation: 'read' | 'write', block: number) =>
  transferCdb(operation, (block * BLOCK_BYTES) / 512, BLOCK_BYTES / 512)

/** Writes all blocks, then has a member change one of them; answers with which, and who. */
async function rot(
  connection: RawConnection,
  lun: number,
  files: readonly string[],
): Promise<{ readonly block: number; readonly file: string }> {
  for (let block = 0; block < BLOCK_COUNT; block++) {
    const { status } = await connection.command(lun, cdbOf('write', block), 0, content(block))
    if (status !== 0) throw new Error(`block ${block}: status ${status}`)
  }
  await connection.command(lun, synchronizeCacheCdb())
  const block = 37
  const text = `block ${block} of all;`
  const file = files.find((path) => findInData(path, text) >= 0)
  if (file === undefined) throw new Error(`no disk holds ${text}`)
  flip(file, findInData(file, text))
  return { block, file }
}

for (const [level, disks] of [
  ['raid1', 2],
  ['raid10', 4],
  ['raid5', 3],
  ['raid6', 4],
] as const) {
  t.test(`${level}: bytes that one member changed are served right, and mended`, async (t) => {
    const { target, lun, disk } = await start(level, disks, '16M')
    const files = Array.from({ length: disks }, (_, number) => disk(number))
    const connection = await logIn(target, lun)
    for (const how of ['read', 'scrub']) {
      const { block, file } = await rot(connection, lun, files)
      if (how === 'read') {
        for (let round = 0; round < 2 * disks; round++) {
          const { status, data } = await connection.command(lun, cdbOf('read', block), BLOCK_BYTES)
          t.equal(status, 0)
          t.ok(data.equals(content(block)), 'what was written is read')
        }
      }
      await target.command('array', 'scrub', 'array')
      await target.command('array', 'wait', 'array')
      const { lastScrub } = await arrayOf(target)
      const mended = how === 'scrub' ? 1 : lastScrub.repairedCount
      t.equal(lastScrub.repairedCount, mended, `${how}: the scrub mends what no read has`)
      if (how === 'scrub') t.match(lastScrub.repaired, [{ disk: file }], 'and names it')
      const count = files.filter((path) => findInData(path, '!lock 37 of all;') >= 0).length
      t.equal(count, 0, `${how}: the member has the right bytes again`)
    }
    connection.close()
    t.equal(await target.stop(), 0)
  })
}

t.test('raid0 with checksums: a changed block is a medium error at its address', async (t) => {
  const { target, lun, disk } = await start('raid0', 3, '16M', true)
  const connection = await logIn(target, lun)
  const { block } = await rot(connection, lun, [disk(0), disk(1), disk(2)])
  const all = transferCdb('read', 0, (64 * BLOCK_BYTES) / 512)
  const { status, sense } = await connection.command(lun, all, 64 * BLOCK_BYTES)
  t.equal(status, 2)
  const { senseKey, information } = decodeSense(sense)
  t.equal(senseKey, 3, 'MEDIUM ERROR')
  t.equal(information, (block * BLOCK_BYTES) / 512, 'at the first block that is wrong')
  for (let it = 0; it < 64; it++) {
    const found = await connection.command(lun, cdbOf('read', it), BLOCK_BYTES)
    t.equal(found.status, it === block ? 2 : 0, `block ${it}`)
    if (it !== block) t.ok(found.data.equals(content(it)))
  }
  await connection.command(lun, cdbOf('write', block), 0, content(block))
  const again = await connection.command(lun, cdbOf('read', block), BLOCK_BYTES)
  t.ok(again.data.equals(content(block)), 'once it is written it can be read')
  connection.close()
  t.equal(await target.stop(), 0)
})
