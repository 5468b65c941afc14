/** A network with platterd on one side and a Linux guest on the other. */
import { NetworkNamespace } from '../network-namespace.ts'
import { TargetProcess } from '../target-process.ts'
import { Guest, type GuestOptions } from './guest.ts'

export interface Lab {
  readonly target: TargetProcess
  readonly guest: Guest
  /** Of the guest, in the network that it shares with the server. */
  readonly guestAddress: string
  readonly network: NetworkNamespace
}

const guestAddress = '10.90.0.2'

/** Starts both; the server is given `flags`, and has no disks yet. The clean-up ends them. */
export async function startLab(flags: readonly string[] = []): Promise<Lab> {
  const { target, place } = await startTarget(flags)
  return { target, guest: await Guest.boot(place), guestAddress, network: place.network }
}

/** Starts the server alone, and answers with the place for a guest beside it. */
export async function startTarget(
  flags: readonly string[] = [],
): Promise<{ target: TargetProcess; place: GuestOptions }> {
  const network = await NetworkNamespace.create()
  await network.addTap('tap0', '10.90.0.1/24')
  const target = await TargetProcess.startIn(network, '10.90.0.1', flags)
  const interfaces = [{ tap: 'tap0', address: `${guestAddress}/24` }]
  return { target, place: { network, interfaces } }
}
