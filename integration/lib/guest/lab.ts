/** A network with platterd on one side and a Linux guest on the other. */
import { NetworkNamespace } from '../network-namespace.ts'
import { TargetProcess } from '../target-process.ts'
import { Guest, type GuestOptions } from './guest.ts'

export interface Lab {
  readonly target: TargetProcess
  readonly guest: Guest
}

/** Starts both; the server has no disks yet. The clean-up ends them. */
export async function startLab(): Promise<Lab> {
  const { target, place } = await startTarget()
  return { target, guest: await Guest.boot(place) }
}

/** Starts the server alone, and answers with the place for a guest beside it. */
export async function startTarget(): Promise<{ target: TargetProcess; place: GuestOptions }> {
  const network = await NetworkNamespace.create()
  await network.addTap('tap0', '10.90.0.1/24')
  const target = await TargetProcess.startIn(network, '10.90.0.1')
  const interfaces = [{ tap: 'tap0', address: '10.90.0.2/24' }]
  return { target, place: { network, interfaces } }
}
