import { LoginStatus } from '@platter/protocol/iscsi'
import t from 'tap'
import { DataPorts } from '../src/data-ports.ts'
import type { LocalEnd } from '../src/session/data-port-policy.ts'
import type { LoginIdentity, LoginRefusal } from '../src/session/login-policy.ts'

const [a, b, fixed] = ['a', 'b', 'fixed'].map((name) => `iqn.2024-01.org.example:${name}`) as [
  string,
  string,
  string,
]
const here = { host: '192.0.2.1', port: 3260 }
const there = { host: '198.51.100.1', port: 3260 }

function start(options: { portsMax?: number; open?: (address: string) => Promise<number> } = {}) {
  const clock = { ms: 0 }
  const closed: LocalEnd[] = []
  const opened: string[] = []
  const inUse = new Set<string>()
  const ports = new DataPorts({
    isDynamic: (host) => host !== fixed,
    open: async (address) => {
      opened.push(address)
      return 40000 + opened.length
    },
    close: ({ host, port }) => closed.push({ host, port }),
    nowMs: () => clock.ms,
    portsMax: 8,
    unusedMs: 1000,
    inUse: () => inUse,
    ...options,
  })
  const prepare = (host: string, local: LocalEnd = here) =>
    new Promise<LoginRefusal | undefined>((resolve) => ports.prepare(host, local, resolve))
  return { clock, closed, opened, inUse, ports, prepare }
}

const identity = (initiatorName: string, sessionType: 'Normal' | 'Discovery' = 'Normal') =>
  ({ initiatorName, sessionType }) as LoginIdentity

t.test(
  'discovery opens a port for its host alone, one on each address that it came to',
  async (t) => {
    const { ports, prepare, opened } = start()
    t.equal(ports.portalOf(a, here), undefined)
    t.same(await Promise.all([prepare(a), prepare(a)]), [undefined, undefined])
    t.equal(await prepare(a, there), undefined)
    t.equal(await prepare(b), undefined)
    t.equal(await prepare(a), undefined, 'and no second one')
    t.same(opened, [here.host, there.host, here.host])
    t.same(ports.portalOf(a, here), { host: here.host, port: 40001 })
    t.same(ports.portalOf(a, there), { host: there.host, port: 40002 })
    t.same(ports.list().at(-1), { initiatorName: b, host: here.host, port: 40003, leftMs: 1000 })
    t.same([ports.has('192.0.2.1:40003'), ports.has('192.0.2.1:3260')], [true, false])
  },
)

t.test('a host logs in at its own port only, and discovers at the fixed one', async (t) => {
  const { ports, prepare } = start()
  await prepare(a)
  await prepare(b)
  const own = { host: here.host, port: 40001 }
  const refused = { status: LoginStatus.AuthorizationFailure }
  t.equal(ports.refusalAt(identity(a), own), undefined)
  t.match(ports.refusalAt(identity(b), own), refused)
  t.match(ports.refusalAt(identity(fixed), own), refused)
  t.match(ports.refusalAt(identity(b, 'Discovery'), own), refused)
  t.match(ports.refusalAt(identity(a), here), refused)
  t.equal(ports.refusalAt(identity(a, 'Discovery'), here), undefined)
  t.equal(ports.refusalAt(identity(a, 'Discovery'), own), undefined)
})

t.test('a host with fixed ports has those, and no others', async (t) => {
  const { ports, prepare, opened } = start()
  t.equal(await prepare(fixed), undefined)
  t.same(opened, [])
  t.equal(ports.portalOf(fixed, here), undefined)
  t.equal(ports.refusalAt(identity(fixed), here), undefined)
})

t.test('a port that no session uses is closed in time, and not before', async (t) => {
  const { ports, prepare, clock, closed, inUse } = start()
  const expireAt = (ms: number) => {
    clock.ms = ms
    ports.expire()
  }
  await prepare(a)
  expireAt(999)
  t.same(closed, [])
  t.match(ports.list(), [{ leftMs: 1 }])
  inUse.add('192.0.2.1:40001')
  expireAt(5000)
  t.same(closed, [], 'it is in use')
  t.match(ports.list(), [{ leftMs: undefined }])
  inUse.clear()
  expireAt(5999)
  t.same(closed, [])
  await prepare(a)
  expireAt(6998)
  t.same(closed, [], 'another discovery renews it')
  expireAt(6999)
  t.same(closed, [{ host: here.host, port: 40001 }])
  t.same([ports.list(), ports.portalOf(a, here)], [[], undefined])
})

t.test('ports are bounded, and none that can be had is an answer of its own', async (t) => {
  const { prepare } = start({ portsMax: 1 })
  const refused = { status: LoginStatus.OutOfResources }
  const [one, two] = await Promise.all([prepare(a), prepare(b)])
  t.equal(one, undefined)
  t.match(two, { ...refused, detail: /1 data ports, which is the limit/ })
  const none = start({ open: () => Promise.reject(new Error('every port is taken')) })
  t.match(await none.prepare(a), { ...refused, detail: /every port is taken/ })
  t.match(await none.prepare(a), refused, 'and it is tried again')
})
