/** A MemoryDevice that carries out what is asked of it by itself, in an order of its own. */
import { UnalignedDevice } from '../../src/block/unaligned-device.ts'
import { MemoryDevice } from './memory-device.ts'

export interface RunningDevice {
  readonly memory: MemoryDevice
  /** Of any byte range. */
  readonly device: UnalignedDevice
  /** The most operations that were waiting at once. */
  readonly mostPending: number
  stop(): void
}

export function runningDevice(blockCount: number, blockSizeBytes = 512): RunningDevice {
  const memory = new MemoryDevice(blockCount, blockSizeBytes)
  let mostPending = 0
  let seed = 1
  const timer = setInterval(() => {
    mostPending = Math.max(mostPending, memory.pending.length)
    for (let left = memory.pending.length; left > 0; left--) {
      seed = (seed * 48271) % 0x7fffffff
      memory.step(seed)
    }
  }, 1)
  return {
    memory,
    device: new UnalignedDevice(memory),
    get mostPending() {
      return mostPending
    },
    stop: () => clearInterval(timer),
  }
}
