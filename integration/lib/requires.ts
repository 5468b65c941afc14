/** What a test needs of the machine. Where it is missing, the test says so and is not run; in CI, it fails. */
import { existsSync } from 'node:fs'
import { everyPurpose, missingPackages } from '../../scripts/prerequisites.mjs'
import { notRun } from './not-run.ts'

/** Purposes of scripts/prerequisites.mjs, and what no package brings. */
export type Need =
  | 'captures'
  | 'mount'
  | 'filesystems'
  | 'diskUsers'
  | 'clients'
  | 'networks'
  | 'tgt'
  | 'guest'
  | 'root'
  | 'fuse'
  | 'loop'
  | 'tap'

/** Options for `t.test`: how long it may take, and why it is not run, if it is not. */
export function requires(...needs: readonly Need[]): { skip: string | false; timeout: number } {
  return { ...notRun(needs.flatMap(lack)), timeout: 300_000 }
}

function lack(need: Need): string[] {
  switch (need) {
    case 'root':
      return process.getuid?.() === 0 ? [] : ['root']
    case 'fuse':
      return existsSync('/dev/fuse') ? [] : ['/dev/fuse']
    case 'loop':
      return existsSync('/dev/loop-control') ? [] : ['/dev/loop-control']
    case 'tap':
      return existsSync('/dev/net/tun') ? [] : ['/dev/net/tun']
    default: {
      if (!everyPurpose.includes(need)) throw new Error(`no purpose ${need} in prerequisites.mjs`)
      return missingPackages([need]).map((name) => `the package ${name}`)
    }
  }
}
