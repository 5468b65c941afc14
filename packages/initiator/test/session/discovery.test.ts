import t from 'tap'
import { parseSendTargets } from '../../src/session/discovery.ts'

t.test('targets and their portals are listed in the order in which they came', async (t) => {
  const targets = parseSendTargets([
    ['TargetName', 'iqn.2026-11.org.platter:b'],
    ['TargetAddress', '192.0.2.1:3261,1'],
    ['TargetAddress', '[2001:db8::1]:3260,2'],
    ['TargetName', 'iqn.2026-11.org.platter:a'],
    ['TargetAddress', 'storage.example'],
  ])
  t.strictSame(targets, [
    {
      name: 'iqn.2026-11.org.platter:b',
      portals: [
        { host: '192.0.2.1', port: 3261, targetPortalGroupTag: 1 },
        { host: '2001:db8::1', port: 3260, targetPortalGroupTag: 2 },
      ],
    },
    { name: 'iqn.2026-11.org.platter:a', portals: [{ host: 'storage.example', port: 3260 }] },
  ])
})

t.test('a target without an address is where it was asked for', async (t) => {
  const targets = parseSendTargets([['TargetName', 'eui.02004567A425678D']])
  t.strictSame(targets, [{ name: 'eui.02004567a425678d', portals: [] }])
  t.strictSame(parseSendTargets([]), [])
})

t.test('a target that comes twice is one, with the portals of both', async (t) => {
  const targets = parseSendTargets([
    ['TargetName', 'iqn.2026-11.org.platter:a'],
    ['TargetAddress', '192.0.2.1:3260,1'],
    ['TargetName', 'iqn.2026-11.org.platter:A'],
    ['TargetAddress', '192.0.2.2:3260,1'],
  ])
  t.equal(targets.length, 1)
  t.strictSame(
    targets[0]?.portals.map(({ host }) => host),
    ['192.0.2.1', '192.0.2.2'],
  )
})

t.test('an address that cannot be read is left out, and other keys are', async (t) => {
  const targets = parseSendTargets([
    ['TargetName', 'iqn.2026-11.org.platter:a'],
    ['TargetAlias', 'SAN'],
    ['TargetAddress', 'not an address'],
    ['TargetAddress', '192.0.2.1:99999'],
    ['TargetAddress', '192.0.2.1'],
  ])
  t.strictSame(targets[0]?.portals, [{ host: '192.0.2.1', port: 3260 }])
})

t.test('an answer that is not of the form is refused', async (t) => {
  t.throws(() => parseSendTargets([['TargetName', 'disk']]), /disk is not an iSCSI name/)
  t.throws(
    () => parseSendTargets([['TargetAddress', '192.0.2.1']]),
    /an address before any target name/,
  )
})
