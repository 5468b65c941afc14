/** open-iscsi in a guest: the Linux kernel's initiator and its command line. */
import type { Guest } from './guest.ts'

/** Settings of a node record, as node.conn[0].iscsi.HeaderDigest. */
export type NodeSettings = Readonly<Record<string, string>>

/** What `iscsiadm -m session -P 3` tells of a session, by its own words. */
export type SessionReport = Readonly<Record<string, string>>

/** udevadm may lose its connection to a busy udevd ("Broken pipe"), and says so before udevd is done. */
const settle = 'until udevadm settle; do sleep 0.2; done'

/** Asks the portal for targets; answers with the names of those it was told. */
export async function discover(guest: Guest, portal: string): Promise<string[]> {
  const listed = await guest.runOk(`iscsiadm -m discovery -t sendtargets -p ${portal}`)
  return [...listed.matchAll(/^\S+ (\S+)$/gm)].map(([, name = '']) => name)
}

/** Logs in to a target that was discovered, with these settings, and waits for its disks. */
export async function logIn(
  guest: Guest,
  targetName: string,
  settings: NodeSettings = {},
): Promise<void> {
  const node = `iscsiadm -m node -T ${targetName}`
  const updates = Object.entries(settings).map(
    ([name, value]) => `${node} -o update -n '${name}' -v '${value}'`,
  )
  await guest.runOk([...updates, `${node} --login`, settle].join(' && '))
}

/** Logs out when udev has done with the disks: it reads them whenever a program has written. */
export async function logOut(guest: Guest, targetName: string): Promise<void> {
  await guest.runOk(`${settle} && iscsiadm -m node -T ${targetName} --logout`)
}

/** The one session there is. */
export async function sessionReport(guest: Guest): Promise<SessionReport> {
  const printed = await guest.runOk('iscsiadm -m session -P 3')
  const lines = [...printed.matchAll(/^\t*([^:\t]+): (\S.*)$/gm)]
  return Object.fromEntries(lines.map(([, key = '', value = '']) => [key, value]))
}

/** The disk that a LUN of the target has become, as /dev/sda. */
export async function diskOf(guest: Guest, targetName: string, lun: number): Promise<string> {
  const path = `/dev/disk/by-path/ip-*-iscsi-${targetName}-lun-${lun}`
  return (await guest.runOk(`readlink --canonicalize ${path}`)).trim()
}
