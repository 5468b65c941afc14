/** open-iscsi in a guest: the Linux kernel's initiator and its command line. */
import type { Guest } from './guest.ts'

/** Settings of a node record, as node.conn[0].iscsi.HeaderDigest. */
export type NodeSettings = Readonly<Record<string, string>>

/** How it authenticates by CHAP, and to what. */
export interface Chap {
  /** The one that it offers, as iscsid.conf names it. */
  readonly algorithm: string
  /** What it shows. */
  readonly host: ChapAccount
  /** What the target must show, if anything. */
  readonly target?: ChapAccount
}

interface ChapAccount {
  readonly user: string
  readonly secret: string
}

/** What `iscsiadm -m session -P 3` tells of a session, by its own words. */
export type SessionReport = Readonly<Record<string, string>>

/** udevadm may lose its connection to a busy udevd ("Broken pipe"), and says so before udevd is done. */
const settle = 'until udevadm settle; do sleep 0.2; done'

/** Has discoveries authenticate from now on, and the logins to what they find. */
export async function authenticate(guest: Guest, { algorithm, host, target }: Chap): Promise<void> {
  const shown = [
    ['authmethod', 'CHAP'],
    ['chap_algs', algorithm],
    ['username', host.user],
    ['password', host.secret],
    ...(target ? [['username_in', target.user] as const, ['password_in', target.secret]] : []),
  ]
  const lines = ['discovery.sendtargets', 'node.session'].flatMap((what) =>
    shown.map(([name, value]) => `${what}.auth.${name} = ${value}`),
  )
  const file = '/etc/iscsi/iscsid.conf'
  const plain = `${file}.plain`
  await guest.runOk(`test -e ${plain} || cp ${file} ${plain}
    cat ${plain} - >${file} <<'END'\n${lines.join('\n')}\nEND`)
}

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
