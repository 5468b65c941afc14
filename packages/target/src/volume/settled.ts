/** Volume operations for the control plane, where a promise for each does no harm. */
import type { IoCompletion } from './volume.ts'

/** Starts one operation; resolves when it is done, rejects with its VolumeError. */
export function settled(start: (completion: IoCompletion) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start({ ioCompleted: (error) => (error === null ? resolve() : reject(error)) })
  })
}
