import t from 'tap'
import { StopSignals, untilEnded } from '../../src/cli/until-ended.ts'
import { RecordingIo } from '../support/cli-io.ts'

/** A mount with files open until it is forced, or told that they are closed. */
class FakeMount {
  readonly forced: boolean[] = []
  isBusy = false
  onTry = (): void => {}
  end = (): void => {}
  readonly unmounted = new Promise<void>((resolve) => {
    this.end = resolve
  })

  async unmount({ force }: { force: boolean }): Promise<boolean> {
    this.forced.push(force)
    this.onTry()
    return force || !this.isBusy
  }
}

t.test('a signal that came before the mount was there ends it', async (t) => {
  const io = new RecordingIo()
  const signals = new StopSignals(io)
  io.stop('SIGTERM')
  const mount = new FakeMount()
  await untilEnded(io, mount, signals)
  t.strictSame(mount.forced, [false])
})

t.test('it stays until it is unmounted by others', async (t) => {
  const io = new RecordingIo()
  const mount = new FakeMount()
  const ended = untilEnded(io, mount, new StopSignals(io))
  mount.end()
  await ended
  t.strictSame(mount.forced, [], 'there is nothing left to unmount')
})

t.test('while files are open a signal waits, and a second one does not', async (t) => {
  const io = new RecordingIo()
  const signals = new StopSignals(io)
  const mount = new FakeMount()
  mount.isBusy = true
  const tried = new Promise<void>((resolve) => {
    mount.onTry = resolve
  })
  const ended = untilEnded(io, mount, signals)
  io.stop('SIGTERM')
  await tried
  io.stop('SIGTERM')
  await ended
  t.strictSame(mount.forced, [false, true])
  t.match(io.stderr, /once more Ctrl-C/)
})
