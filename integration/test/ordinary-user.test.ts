/** A user who is not root, and becomes it at no step, mounts partitions, uses them and unmounts them. */
import { join } from 'node:path'
import t from 'tap'
import { cleanUp } from '../lib/cleanup.ts'
import { OrdinaryUser } from '../lib/ordinary-user.ts'
import { requires } from '../lib/requires.ts'
import { TargetProcess } from '../lib/target-process.ts'

t.teardown(cleanUp)

const needs = requires('mount', 'fuse', 'root', 'networks', 'filesystems')

t.test('an ordinary user mounts partitions, uses them and unmounts them', needs, async (t) => {
  const target = await TargetProcess.startWithPartition('disk')
  const user = await OrdinaryUser.create()
  const directory = join(user.home, 'san')
  const file = join(directory, 'disk')
  const written = join(user.home, 'written')
  t.not((await user.runOk('id', '--user')).trim(), '0')
  const unmounted = { status: 0, stdout: `${directory} unmounted\n`, stderr: '' }
  await user.runOk('mkdir', directory)
  await user.runOk('dd', 'if=/dev/urandom', `of=${written}`, 'bs=1M', 'count=4')

  for (const driver of ['kernel', 'native'] as const) {
    await t.test(`${driver} driver`, async (t) => {
      const mount = await user.mount(target.portal, directory, '--driver', driver)
      const shown = await user.runOk('stat', '--format=%U %a %s', file)
      t.equal(shown.trim(), `nobody 600 ${16 * 2 ** 20}`)
      await user.runOk('mkfs.ext4', '-q', '-F', file)
      await user.runOk('fsck.ext4', '-f', '-n', file)
      await user.runOk('dd', `if=${written}`, `of=${file}`, 'bs=1M', 'conv=notrunc,fsync')
      t.same(await user.platter('unmount', directory), unmounted)
      t.equal(await mount.untilEnded(), 0, mount.log)
      t.notOk(await user.isMounted(directory))

      const again = await user.mount(target.portal, directory, '--driver', driver)
      await user.runOk('cmp', '--bytes', `${4 * 2 ** 20}`, written, file)
      t.equal(await again.end('SIGTERM'), 0, again.log)
      t.notOk(await user.isMounted(directory))
    })
  }
  t.equal(await target.stop(), 0)
})
