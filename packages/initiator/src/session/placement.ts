/**
 * Which connection, or which of several sessions, a command takes. A policy sees lanes, and nothing of
 * what is behind them; it is asked once for each command, and makes no object.
 */
import type { ScsiTask } from './task.ts'

/** Something that takes commands to the target. */
export interface Lane {
  /** Logged in, and not about to be closed. */
  readonly alive: boolean
  /** Alive, and has room for a command now. */
  readonly ready: boolean
  /** What the commands under way on it move, and a little for each. */
  readonly bytesInFlight: number
  /** Something waits to leave on it at the end of this turn: a command that joins it costs little. */
  readonly hasUnsent: boolean
  /** Its share of the commands, for `weighted`: more than 0. */
  readonly weight: number
  /** Lower goes first, for `fail-over`. Lanes over one path have the same. */
  readonly rank: number
  /** What `weighted` owes it. */
  credit: number
}

/** What a connection is to its session's placement policy, and who counts its traffic. */
export interface ConnectionPlace {
  readonly weight: number
  readonly rank: number
  /** A command has its outcome. Makes no object. */
  commandEnded(task: ScsiTask): void
}

/** What a command costs a lane, besides the bytes that it moves. */
export const COMMAND_COST_BYTES = 512

/** Picks a lane that is ready for a command that moves `bytes`, or none if it is to wait. */
export type PlacementPolicy = <L extends Lane>(lanes: readonly L[], bytes: number) => L | undefined

/** What moves no more is better sent together than apart: sending costs more than moving it. */
const SMALL_BYTES = 16 * 1024
/** So much more than another a lane may have under way for that. */
const LEAD_BYTES_MAX = 128 * 1024

/**
 * A slow path ends its commands later, has more under way, and so gets fewer. Small commands of the same
 * turn go together, and leave in one write.
 */
const leastBytes: PlacementPolicy = (lanes, bytes) => {
  let best: (typeof lanes)[number] | undefined
  let departing: (typeof lanes)[number] | undefined
  for (const lane of lanes) {
    if (!lane.ready) continue
    if (best === undefined || lane.bytesInFlight < best.bytesInFlight) best = lane
    if (lane.hasUnsent) departing ??= lane
  }
  if (best === undefined || departing === undefined || bytes > SMALL_BYTES) return best
  return departing.bytesInFlight - best.bytesInFlight < LEAD_BYTES_MAX ? departing : best
}

/** One after the other; who is not ready misses its turn. */
function roundRobin(): PlacementPolicy {
  let turn = 0
  return (lanes) => {
    for (let step = 0; step < lanes.length; step++) {
      const index = (turn + step) % lanes.length
      const lane = lanes[index]
      if (lane?.ready !== true) continue
      turn = index + 1
      return lane
    }
    return undefined
  }
}

/** In proportion to the weights, evenly mixed: each turn everybody earns, and the winner pays for all. */
const weighted: PlacementPolicy = (lanes) => {
  let best: (typeof lanes)[number] | undefined
  let total = 0
  for (const lane of lanes) {
    if (!lane.ready) continue
    total += lane.weight
    lane.credit += lane.weight
    if (best === undefined || lane.credit > best.credit) best = lane
  }
  if (best !== undefined) best.credit -= total
  return best
}

/** All on the first path that is alive; its lanes share by `least-bytes`. Others only when it is gone. */
const failOver: PlacementPolicy = (lanes) => {
  let rank = Number.POSITIVE_INFINITY
  for (const lane of lanes) if (lane.alive && lane.rank < rank) rank = lane.rank
  let best: (typeof lanes)[number] | undefined
  for (const lane of lanes) {
    if (lane.rank !== rank || !lane.ready) continue
    if (best === undefined || lane.bytesInFlight < best.bytesInFlight) best = lane
  }
  return best
}

/** Each call makes a policy of its own: some remember whose turn it is. */
export const placementPolicies = {
  'least-bytes': () => leastBytes,
  'round-robin': roundRobin,
  weighted: () => weighted,
  'fail-over': () => failOver,
} as const satisfies Record<string, () => PlacementPolicy>

export type PolicyName = keyof typeof placementPolicies
export const policyNames = Object.keys(placementPolicies) as PolicyName[]
