import { mock } from 'node:test'
import t, { type Test } from 'tap'
import type { BlockDevice } from '../src/block/block-device.ts'
import type { PartitionChange } from '../src/block/partitions.ts'
import { Tree } from '../src/fuse/tree.ts'
import type { ConnectedTarget } from '../src/host.ts'
import { MountedServer, type MountedServerOptions } from '../src/mounted-server.ts'
import { MemoryDevice } from './support/memory-device.ts'

class FakeTarget implements ConnectedTarget {
  readonly targetName = 'iqn.2026-11.org.platter:test'
  readonly mode = 'connections'
  readonly connections = 1
  readonly devices: readonly BlockDevice[]
  closed = false
  readonly #changes: PartitionChange[] = []
  #wake: () => void = () => {}

  constructor(devices: readonly BlockDevice[]) {
    this.devices = devices
  }

  deviceAt(): undefined {
    return undefined
  }

  paths() {
    return []
  }

  async *changes() {
    while (!this.closed) {
      const change = this.#changes.shift()
      if (change !== undefined) yield change
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
      }
    }
  }

  /** Resolves when it has been taken notice of. */
  async change(change: PartitionChange): Promise<void> {
    this.#changes.push(change)
    this.#wake()
    await new Promise((resolve) => setImmediate(resolve))
  }

  async close(): Promise<void> {
    this.closed = true
    this.#wake()
  }
}

t.test('partitions are files, which come, go and grow with them', async (t) => {
  const { tree, target, server, said } = setUp(t, ['data'])
  await server.reach()
  server.show()
  t.strictSame(listing(tree), ['data'])
  const logs = device('logs')
  await target.change({ kind: 'added', device: logs })
  t.strictSame(listing(tree), ['data', 'logs'])
  t.match(server.status().partitions, [{ name: 'data' }, { name: 'logs', sizeBytes: 512 }])
  await target.change({ kind: 'resized', device: logs })
  await target.change({ kind: 'removed', device: logs })
  t.strictSame(listing(tree), ['data'])
  t.strictSame(said, ['logs has come', 'logs has 512 bytes now', 'logs is gone'])
  await server.close()
  t.ok(target.closed)
})

t.test('a name that is taken gets that of the server', async (t) => {
  const { tree, server } = setUp(t, ['data', 'data.b'], { name: 'b' })
  tree.add(tree.root, 'data', file())
  await server.reach()
  server.show()
  t.strictSame(listing(tree), ['data', 'data.b', 'data.b.b'])
})

t.test('files can be made such that they are only read', async (t) => {
  const { tree, server } = setUp(t, ['data'], { readOnly: true })
  await server.reach()
  server.show()
  t.match(tree.find('/data')?.content, { readOnly: true })
  t.match(server.status().partitions, [{ name: 'data', readOnly: true }])
})

t.test('a server that cannot be reached says why, and appears when it can', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let fails = 2
  const { tree, server, target, said } = setUp(t, ['data'], {
    connect: async () => {
      if (fails-- > 0) throw new Error('nobody answers')
      return target
    },
  })
  await t.rejects(server.reach(), /nobody answers/)
  t.match(server.status(), { targetName: null, error: 'nobody answers', partitions: [] })
  server.show()
  for (let count = 0; count < 3; count++) {
    mock.timers.tick(5000)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.strictSame(listing(tree), ['data'])
  t.match(server.status(), { targetName: 'iqn.2026-11.org.platter:test', error: null })
  t.strictSame(said, ['reached'])
})

function setUp(t: Test, names: readonly string[], options: Partial<MountedServerOptions> = {}) {
  const tree = new Tree()
  const said: string[] = []
  const target = new FakeTarget(names.map(device))
  const server = new MountedServer({
    name: 'a',
    tree,
    directory: tree.root,
    readOnly: false,
    connect: async () => target,
    say: (text) => said.push(text),
    ...options,
  })
  t.teardown(() => server.close())
  return { tree, said, target, server }
}

function device(name: string): BlockDevice {
  return Object.create(new MemoryDevice(1, 512), { name: { value: name } })
}

function file() {
  const nothing = { sizeBytes: 0, readOnly: true }
  return { ...nothing, read() {}, write() {}, zero() {}, flush() {} }
}

function listing(tree: Tree): string[] {
  return [...tree.root.listing()].map(([name]) => name)
}
