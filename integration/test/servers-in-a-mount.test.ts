/** Several servers in one mount, which goes on by itself, tells of itself, and follows what they have. */
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { cleanUp, onCleanUp, temporaryDirectory, unmountNow } from '../lib/cleanup.ts'
import { run, runOk } from '../lib/command.ts'
import { isMounted } from '../lib/fuse-mount.ts'
import { freePort } from '../lib/port.ts'
import { requires } from '../lib/requires.ts'
import { platterScript, TargetProcess } from '../lib/target-process.ts'
import { until } from '../lib/until.ts'

t.teardown(cleanUp)
const MiB = 2 ** 20

/** What `platter status --json` tells of a mount, as far as it is looked at here. */
interface Mounted {
  readonly pid: number
  readonly servers: readonly {
    readonly name: string
    readonly targetName: string | null
    readonly error: string | null
    readonly connections: number
    readonly paths: readonly { readonly readBytes: number; readonly writtenBytes: number }[]
    readonly partitions: readonly { readonly name: string; readonly sizeBytes: number }[]
  }[]
}

t.test('servers in a mount', requires('mount', 'fuse'), async (t) => {
  const [one, other] = await Promise.all([
    TargetProcess.startWithPartition('data'),
    TargetProcess.startWithPartition('data'),
  ])

  await t.test('each has a directory, in which its partitions come and go', async (t) => {
    const { directory } = await mount(t, `127.0.0.1:${one.port}`, `b=127.0.0.1:${other.port}`)
    t.strictSame(await readdir(directory), ['127.0.0.1', 'b'])
    const data = Buffer.alloc(MiB, 'of b alone')
    await writeFile(join(directory, 'b', 'data'), data, { flag: 'r+' })
    t.ok((await readFile(join(directory, 'b', 'data'))).subarray(0, MiB).equals(data))
    t.ok((await readFile(join(directory, '127.0.0.1', 'data'))).equals(Buffer.alloc(16 * MiB)))

    await other.addPartition('array/more', '16M')
    await until(async () => (await readdir(join(directory, 'b'))).includes('more'))
    await other.command('partition', 'grow', 'array/more', '--size', '24M')
    await until(async () => (await stat(join(directory, 'b', 'more'))).size === 24 * MiB)
    const beyond = Buffer.alloc(4096, 7)
    await writeAt(join(directory, 'b', 'more'), 24 * MiB - 4096, beyond)
    await other.command('partition', 'delete', 'array/more', '--yes')
    await until(async () => !(await readdir(join(directory, 'b'))).includes('more'))
    t.strictSame(await readdir(join(directory, 'b')), ['data'])
    await unmount(directory)
  })

  await t.test('its status tells of servers, paths and traffic', async (t) => {
    const { directory, told } = await mount(
      t,
      `a=127.0.0.1:${one.port}`,
      `b=127.0.0.1:${other.port}`,
    )
    t.match(told.servers, [
      {
        name: 'a',
        connections: 2,
        error: null,
        partitions: [{ name: 'data', sizeBytes: 16 * MiB }],
      },
      { name: 'b', targetName: await other.targetName() },
    ])
    const before = await status(directory)
    t.equal(before.pid, told.pid)
    await writeAt(join(directory, 'a', 'data'), 0, Buffer.alloc(2 * MiB, 1))
    const written = ({ servers }: Mounted) =>
      servers.map(({ paths }) => paths.reduce((sum, it) => sum + it.writtenBytes, 0))
    const [a = 0, b = 0] = written(before)
    // What it tells may be a second old.
    await until(async () => written(await status(directory))[0] === a + 2 * MiB)
    t.equal(written(await status(directory))[1], b)
    const words = await runOk(process.execPath, [platterScript(), 'status', directory])
    t.match(words, /2 connections in one session\n.* up, 2 connections; .*2.00 MiB written/)
    t.notOk((await readdir(directory)).includes('.platter'), 'where it lies is not listed')
    await unmount(directory)
    t.notOk(isAlive(told.pid), 'the process of the mount ends with it')
    const gone = await platter('status', directory)
    t.match(gone, { status: 1, stderr: /has nothing mounted on it/ })
  })

  await t.test('a server that is away at first appears when it is back', async (t) => {
    await other.stop()
    const { directory, told } = await mount(
      t,
      `a=127.0.0.1:${one.port}`,
      `b=127.0.0.1:${other.port}`,
    )
    t.match(told.servers, [{ error: null }, { targetName: null, error: /ECONNREFUSED/ }])
    t.strictSame(await readdir(join(directory, 'b')), [])
    await other.serve()
    await until(async () => (await readdir(join(directory, 'b'))).includes('data'))
    await unmount(directory)
  })

  await t.test('beside each other, files of the same name have that of the server', async (t) => {
    const servers = [`a=127.0.0.1:${one.port}`, `b=127.0.0.1:${other.port}`]
    const { directory } = await mount(t, '--layout', 'flat', '--read-only', ...servers)
    t.strictSame(await readdir(directory), ['data', 'data.b'])
    await t.rejects(writeFile(join(directory, 'data'), 'x', { flag: 'r+' }), { code: 'EROFS' })
    await unmount(directory)
  })

  await t.test('mount(8) mounts what is in fstab', requires('root'), async (t) => {
    const directory = temporaryDirectory()
    onCleanUp(() => unmountNow(directory))
    const programs = temporaryDirectory()
    symlinkSync(platterScript(), join(programs, 'platter'))
    const source = `127.0.0.1:${one.port} b=127.0.0.1:${other.port}`
    const options = 'rw,nodev,nosuid,_netdev,connections=2'
    // What mount(8) runs for the type fuse.platter; it looks for platter in the system's directories.
    await runOk('mount.fuse3', [source, directory, '-t', 'fuse.platter', '-o', options], {
      env: { PATH: `${programs}:${process.env.PATH}`, ...ownState() },
    })
    const { servers } = await status(directory)
    t.match(servers, [
      { name: '127.0.0.1', connections: 2 },
      { name: 'b', connections: 2 },
    ])
    await runOk('umount', [directory])
  })

  await t.test('a mount in the background that fails says why, and leaves nothing', async (t) => {
    const directory = temporaryDirectory()
    const nobody = `127.0.0.1:${await freePort()}`
    const refused = await platter('mount', '--daemon', nobody, directory)
    t.match(refused, { status: 3, stderr: /ECONNREFUSED/ })
    mkdirSync(join(directory, 'full'))
    const full = await platter('mount', '--daemon', `127.0.0.1:${one.port}`, directory)
    t.match(full, { status: 1, stderr: /is not empty/ })
    t.notOk(isMounted(directory))
  })

  await Promise.all([one.stop(), other.stop()])
})

/** `platter mount --daemon`: what it has told when it returned, and the id in its file. */
async function mount(t: Test, ...args: string[]): Promise<{ directory: string; told: Mounted }> {
  const directory = temporaryDirectory()
  onCleanUp(() => unmountNow(directory))
  const pidFile = join(temporaryDirectory(), 'pid')
  const flags = ['--daemon', '--json', '--pid-file', pidFile]
  const stdout = await runOk(
    process.execPath,
    [platterScript(), 'mount', ...flags, ...args, directory],
    { env: ownState() },
  )
  t.ok(isMounted(directory), 'it is mounted when the command has ended')
  const told: Mounted = JSON.parse(stdout)
  t.equal(Number(readFileSync(pidFile, 'utf8')), told.pid)
  return { directory, told }
}

/** The log goes where the test may write. */
const ownState = () => ({ XDG_STATE_HOME: temporaryDirectory() })

async function unmount(directory: string): Promise<void> {
  const { pid } = await status(directory)
  await runOk(process.execPath, [platterScript(), 'unmount', directory])
  await until(async () => !isAlive(pid))
}

async function status(directory: string): Promise<Mounted> {
  const flags = ['status', '--json', directory]
  const stdout = await runOk(process.execPath, [platterScript(), ...flags])
  const [mounted] = JSON.parse(stdout) as [Mounted]
  return mounted
}

function platter(...args: string[]) {
  return run(process.execPath, [platterScript(), ...args], {
    env: ownState(),
  })
}

async function writeAt(path: string, offset: number, data: Buffer): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(data, 0, data.length, offset)
  await file.sync()
  await file.close()
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
