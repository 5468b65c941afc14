/** Logins that are sent to another server (RFC 7143 section 11.13.5): on the wire, and with libiscsi. */
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run, runOk } from '../lib/command.ts'
import { RawConnection } from '../lib/raw-connection.ts'
import { decodeKeys } from '../lib/raw-pdu.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)
const needs = requires('clients')

/** A target that has moved has the same name where it is now. */
const targetName = 'iqn.2026-11.org.platter:moved'
const initiatorName = 'iqn.2026-11.org.platter:host'
const flags = ['--target-name', targetName]
const before = await TargetProcess.start(temporaryDirectory(), flags)
const after = await TargetProcess.start(temporaryDirectory(), flags)
await before.admitEveryone()
const { lun } = await after.createPartition({
  directory: temporaryDirectory(),
  disks: 1,
  diskSize: '16M',
  chunk: '64K',
  array: 'a',
  partition: 'p',
  size: '8M',
})

async function logIn(name: string) {
  const connection = await RawConnection.open(before.port)
  const response = await connection.sendLogin({ targetName, initiatorName: name })
  const status = response?.bhs.readUInt16BE(36)
  return { connection, status, keys: decodeKeys(response?.data ?? Buffer.alloc(0)) }
}

t.test('a host is sent on, for now or for good, and the connection ends', async (t) => {
  for (const [how, status] of [
    [[], 0x0101],
    [['--permanent'], 0x0102],
  ] as const) {
    const host = ['--host', initiatorName]
    await before.command('redirect', 'create', after.portal, ...host, ...how)
    const sent = await logIn(initiatorName)
    t.equal(sent.status, status)
    t.same(sent.keys, { TargetAddress: after.portal })
    t.ok(await sent.connection.isClosedWithin(5000))
    const other = await logIn('iqn.2026-11.org.platter:other')
    t.equal(other.status, 0, 'another host is let in')
    other.connection.close()
    await before.command('redirect', 'delete', ...host)
    const again = await logIn(initiatorName)
    t.equal(again.status, 0)
    again.connection.close()
  }
})

t.test('a session that is there stays', async (t) => {
  const { connection } = await logIn(initiatorName)
  await before.command('redirect', 'create', after.portal)
  t.type((await connection.command(0, Buffer.alloc(16))).status, 'number')
  connection.close()
  await before.command('redirect', 'delete')
})

t.test('redirects outlive a restart', async (t) => {
  await before.command('redirect', 'create', after.portal)
  t.equal(await before.stop(), 0)
  await before.serve()
  t.equal((await logIn(initiatorName)).status, 0x0101)
  await before.command('redirect', 'delete')
})

t.test('libiscsi follows, if it is for now', needs, async (t) => {
  const url = `iscsi://${before.portal}/${targetName}/${lun}`
  const notThere = await run('iscsi-inq', [url])
  t.not(notThere.status, 0, 'there is no such LUN before')
  await before.command('redirect', 'create', after.portal)
  t.match(await runOk('iscsi-inq', [url]), /DIRECT_ACCESS/)
  t.match(await runOk('iscsi-ls', ['-s', `iscsi://${before.portal}`]), `Lun:${lun} `)
  await before.command('redirect', 'delete')
  // libiscsi 1.19 takes the other status for a failure, and says which it is.
  await before.command('redirect', 'create', after.portal, '--permanent')
  t.match((await run('iscsi-inq', [url])).stderr, /moved permanently/)
  await before.command('redirect', 'delete')
})
