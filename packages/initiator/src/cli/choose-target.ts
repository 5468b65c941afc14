/** Which of the targets that a portal tells of a command line means. */
import type { Endpoint } from '../net/endpoint.ts'
import type { DiscoveredTarget } from '../session/discovery.ts'
import { CliFailure, ExitCode } from './io.ts'
import { formatPortal } from './portal.ts'

/** The one named `wanted`, or the only one there is. Throws CliFailure; `remedy` is for several. */
export function chooseTarget(
  targets: readonly DiscoveredTarget[],
  portal: Endpoint,
  wanted: string | undefined,
  remedy = 'choose one with --target',
): DiscoveredTarget {
  const fitting = wanted === undefined ? targets : targets.filter(({ name }) => name === wanted)
  const [first] = fitting
  if (first !== undefined && fitting.length === 1) return first
  const names = targets.map(({ name }) => `\n  ${name}`).join('')
  const where = formatPortal(portal)
  if (targets.length === 0) {
    throw new CliFailure(ExitCode.Failed, 'no-target', `${where} has no target for us`)
  }
  if (wanted === undefined) {
    const message = `${where} has several targets; ${remedy}:${names}`
    throw new CliFailure(ExitCode.Usage, 'several-targets', message)
  }
  throw new CliFailure(ExitCode.Failed, 'no-target', `${where} has no ${wanted}; it has:${names}`)
}
