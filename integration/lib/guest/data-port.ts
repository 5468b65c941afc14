/** open-iscsi at data ports, of which it knows nothing but what discovery says. */
import type { Test } from 'tap'
import type { Guest } from './guest.ts'
import type { Lab } from './lab.ts'
import { discover, diskOf, logIn, logOut, sessionReport } from './open-iscsi.ts'

/** The partition that it uses, by its LUN, and the iSCSI name that it has. */
export interface DataPortUse {
  readonly initiatorName: string
  readonly lun: number
}

interface Status {
  readonly targetName: string
  readonly dataPorts: readonly { readonly host: string; readonly portal: string }[]
}

/** Discovers a port, works there and logs out; answers with the port. Discovery tells of the portals then. */
export async function worksAtDataPort(t: Test, lab: Lab, use: DataPortUse): Promise<string> {
  const { guest, target } = lab
  await target.command('host', 'create', use.initiatorName, '--data-ports', 'dynamic')
  const portal = await discoversDataPort(t, lab, use)
  await writesAndReads(t, lab, portal, use)
  await target.command('host', 'set', use.initiatorName, '--data-ports', 'fixed')
  await discover(guest, target.portal)
  return portal
}

/** `portal` was a port of it: logs in where it must not, and then at a port that it discovers. */
export async function leavesClosedPort(
  t: Test,
  lab: Lab,
  use: DataPortUse,
  portal: string,
): Promise<void> {
  const { guest, target } = lab
  const { targetName } = await target.command<Status>('status')
  await untilNoneIsOpen(lab)
  await target.command('host', 'set', use.initiatorName, '--data-ports', 'dynamic')
  const known = `iscsiadm -m node -T ${targetName}`
  const once = {
    'node.session.initial_login_retry_max': '1',
    'node.conn[0].timeo.login_timeout': '3',
  }
  await t.rejects(logIn(guest, targetName, once), /authorization failure/, 'at the fixed portal')
  await guest.runOk(`${known} -o delete && ${known} -p ${portal} -o new`)
  await t.rejects(logIn(guest, targetName, once), /error \((4|8) - /, 'at the port that was closed')
  await guest.runOk(`${known} -o delete`)
  const another = await discoversDataPort(t, lab, use)
  await writesAndReads(t, lab, another, use)
  await target.command('host', 'set', use.initiatorName, '--data-ports', 'fixed')
}

async function discoversDataPort(t: Test, lab: Lab, { initiatorName }: DataPortUse) {
  const { guest, target } = lab
  const found = await discover(guest, target.portal)
  const { targetName, dataPorts } = await target.command<Status>('status')
  t.same(found, [targetName])
  t.match(dataPorts, [{ host: initiatorName }])
  return dataPorts[0]?.portal ?? ''
}

async function writesAndReads(t: Test, lab: Lab, portal: string, { lun }: DataPortUse) {
  const { guest, target } = lab
  const { targetName } = await target.command<Status>('status')
  await logIn(guest, targetName)
  t.match(await sessionReport(guest), { 'Current Portal': `${portal},1` })
  t.match(await target.command('session', 'list'), [
    { connections: [{ local: portal, dynamicPort: true }] },
  ])
  await copyThere(guest, await diskOf(guest, targetName, lun))
  await logOut(guest, targetName)
}

/** Writes 4 MiB, and has them back. */
async function copyThere(guest: Guest, disk: string): Promise<void> {
  await guest.runOk(`dd if=/dev/urandom of=/tmp/data bs=1M count=4
    dd if=/tmp/data of=${disk} bs=1M oflag=direct conv=fsync
    dd if=${disk} bs=1M count=4 iflag=direct | cmp - /tmp/data && rm /tmp/data`)
}

async function untilNoneIsOpen({ target }: Lab): Promise<void> {
  while ((await target.command<Status>('status')).dataPorts.length > 0) {
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}
