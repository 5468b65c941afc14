/**
 * Operations at random on a file of `platter mount`, for as long as one likes, and what is there after a new mount:
 *
 *     npm run exercise -- [--minutes N] [--seed N] [--driver kernel|native]
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { cleanUp } from '../lib/cleanup.ts'
import { FileExerciser } from '../lib/file-exerciser.ts'
import { FuseMount } from '../lib/fuse-mount.ts'
import { TargetProcess } from '../lib/target-process.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: `${randomInt(2 ** 31)}` },
    driver: { type: 'string', default: 'kernel' },
  },
})
const { minutes, seed, driver } = values
const untilMs = performance.now() + Number(minutes) * 60_000
console.log(`seed ${seed}, driver ${driver}, for ${minutes} minutes`)
try {
  const target = await TargetProcess.startWithPartition('disk')
  const mount = await FuseMount.mount(target.portal, '--driver', driver)
  const exerciser = await FileExerciser.exercise({
    path: mount.file('disk'),
    seed: Number(seed),
    holes: driver === 'kernel',
    goOn: () => performance.now() < untilMs,
  })
  await mount.unmount()
  const again = await FuseMount.mount(target.portal, '--driver', driver)
  await exerciser.verify(again.file('disk'))
  await again.unmount()
  console.log(`${exerciser.rounds} rounds, and all is there after a new mount`)
} finally {
  await cleanUp()
}
