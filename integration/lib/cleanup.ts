/**
 * What a test or a benchmark leaves on the machine, undone however it ends: at the end of the test,
 * on SIGTERM (tap's answer to a test that hangs), or when the process exits. Actions are synchronous
 * for that reason, and run newest first.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const actions: (() => void)[] = []

/** Has `action` run by the next `cleanUp`. One that throws does not keep the others from running. */
export function onCleanUp(action: () => void): void {
  if (actions.length === 0) listen()
  actions.push(action)
}

/** Undoes everything registered so far. */
export function cleanUp(): void {
  for (let action = actions.pop(); action !== undefined; action = actions.pop()) {
    try {
      action()
    } catch (error) {
      console.error(`clean-up: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
}

/** A new directory that is removed with all it holds. */
export function temporaryDirectory(parent: string = tmpdir()): string {
  const path = mkdtempSync(join(parent, 'platter-'))
  onCleanUp(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Unmounts what is mounted there, if anything is; even when its server is dead or its files are open. */
export function unmountNow(path: string): void {
  spawnSync('umount', ['--lazy', path], { stdio: 'ignore' })
}

let listening = false

function listen(): void {
  if (listening) return
  listening = true
  process.once('exit', cleanUp)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      cleanUp()
      process.exit(1)
    })
  }
}
