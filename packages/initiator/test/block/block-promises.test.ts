import t from 'tap'
import { BlockError } from '../../src/block/block-error.ts'
import { BlockPromises } from '../../src/block/block-promises.ts'
import { runningDevice } from '../support/running-device.ts'

t.test('what a device does can be awaited, and rejects as the device fails', async (t) => {
  const { memory, device, stop } = runningDevice(16)
  t.teardown(stop)
  const disk = new BlockPromises(device)
  t.equal(disk.device, device)
  await disk.write(100, Buffer.from('hello, world'))
  await disk.zero(105, 1)
  t.equal((await disk.read(100, 12)).toString(), 'hello\0 world')
  const into = Buffer.alloc(5)
  await disk.readInto(into, 107)
  t.equal(into.toString(), 'world')
  await disk.flush()
  t.equal(memory.flushes, 1)
  await t.rejects(disk.read(16 * 512 - 1, 2), RangeError)
  await t.rejects(disk.write(-1, into), RangeError)
  memory.fault = () => new BlockError('EIO', 'medium error')
  await t.rejects(disk.flush(), { code: 'EIO', message: 'medium error' })
  await t.rejects(disk.read(0, 1), { code: 'EIO' })
})
