import { mock } from 'node:test'
import t from 'tap'
import { describeTransfer, formatDuration, Progress, Speed } from '../../src/cli/progress.ts'
import { RecordingIo } from '../support/cli-io.ts'

const ERASE_LINE = '\r\x1b[K'

const transfer = {
  title: 'scratch',
  doneBytes: 2 ** 29,
  totalBytes: 2 ** 31,
  bytesPerSecond: 2 ** 28,
}

t.test('a transfer is a line, with a bar where there is room for one', async (t) => {
  const words = '25%  512 MiB of 2.00 GiB  256 MiB/s  0:06 left'
  t.equal(describeTransfer(transfer, 0), `scratch  ${words}`)
  const bar = `[======${' '.repeat(18)}]`
  t.equal(describeTransfer(transfer, 100), `scratch  ${bar}  ${words}`)
  t.ok(describeTransfer(transfer, 100).length <= 100)
  const full = { ...transfer, doneBytes: 2 ** 31, bytesPerSecond: 0 }
  t.equal(describeTransfer(full, 0), 'scratch 100%  2.00 GiB of 2.00 GiB  0 B/s')
  const endless = { ...transfer, totalBytes: null }
  t.equal(describeTransfer(endless, 100), 'scratch  512 MiB  256 MiB/s')
})

t.test('durations are as clocks show them', async (t) => {
  t.strictSame([0, 6.2, 61, 3599.5, 3723].map(formatDuration), [
    '0:00',
    '0:07',
    '1:01',
    '1:00:00',
    '1:02:03',
  ])
})

t.test('speed is that of the last seconds', async (t) => {
  const speed = new Speed(0)
  t.equal(speed.perSecond(0, 0), 0)
  t.equal(speed.perSecond(1000, 100), 100)
  for (let second = 2; second <= 10; second++) speed.perSecond(second * 1000, 100)
  t.equal(speed.perSecond(11_000, 100), 0, 'nothing for a while')
  t.equal(speed.perSecond(12_000, 600), 100)
})

t.test(
  'a terminal has one line that is drawn anew, and nothing else has a line now and then',
  async (t) => {
    mock.timers.enable({ apis: ['setInterval'] })
    t.teardown(() => mock.timers.reset())
    for (const columns of [40, undefined]) {
      const io = new RecordingIo()
      io.terminalColumns = columns
      const progress = new Progress(io, false)
      let count = 0
      progress.show((room) => `${++count} of ${room} ${'x'.repeat(100)}`)
      mock.timers.tick(1900)
      t.equal(io.stderr, '', 'what is soon done is not told of')
      mock.timers.tick(400)
      if (columns === undefined) {
        t.match(io.stderr, /^platter: 1 of 0 x+\n$/)
        mock.timers.tick(6000)
        t.match(io.stderr, /^platter: 1 of 0 x+\nplatter: 2 of 0 x+\n$/)
      } else {
        const drawn = (count: number) => `${count} of 39 ${'x'.repeat(31)}`
        t.equal(io.stderr, `${ERASE_LINE}${drawn(1)}${ERASE_LINE}${drawn(2)}`)
      }
      io.stderr = ''
      progress.say('something else')
      t.equal(io.stderr, `${columns === undefined ? '' : ERASE_LINE}platter: something else\n`)
      progress.end()
      io.stderr = ''
      mock.timers.tick(10_000)
      t.equal(io.stderr, '')
    }
    const io = new RecordingIo()
    const quiet = new Progress(io, true)
    quiet.show(() => 'never')
    mock.timers.tick(10_000)
    quiet.end()
    t.equal(io.stderr, '')
  },
)
