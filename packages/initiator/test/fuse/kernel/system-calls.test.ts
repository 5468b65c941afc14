import { closeSync } from 'node:fs'
import t from 'tap'
import { loadFuseSystemCalls } from '../../../src/fuse/kernel/system-calls.ts'

t.test('the calls are there however often they are asked for', async (t) => {
  t.equal(loadFuseSystemCalls(), loadFuseSystemCalls())
})

t.test(
  'a watched descriptor calls when it can be read, and not while that is paused',
  async (t) => {
    const calls = loadFuseSystemCalls()
    const [ours, theirs] = calls.socketPair()
    calls.setNonBlocking(ours)
    const into = Buffer.alloc(16)
    const got: string[] = []
    let heard = () => {}
    const watch = calls.watch(ours, () => {
      got.push(into.toString('latin1', 0, calls.read(ours, into, into.length)))
      heard()
    })
    const next = () =>
      new Promise<void>((resolve) => {
        const alive = setTimeout(() => {}, 60_000)
        heard = () => {
          clearTimeout(alive)
          resolve()
        }
      })
    const first = next()
    t.equal(calls.write(theirs, Buffer.from('one'), 3), 3)
    await first
    watch.pause()
    calls.write(theirs, Buffer.from('two'), 3)
    await new Promise((resolve) => setImmediate(resolve))
    t.strictSame(got, ['one'])
    const second = next()
    watch.resume()
    await second
    t.strictSame(got, ['one', 'two'])
    watch.end()
    closeSync(ours)
    closeSync(theirs)
  },
)
