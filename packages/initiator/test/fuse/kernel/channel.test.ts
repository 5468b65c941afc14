import { constants } from 'node:os'
import t from 'tap'
import { FuseChannel, REQUESTS_MAX } from '../../../src/fuse/kernel/channel.ts'
import { FuseOpcode } from '../../../src/fuse/kernel/fuse-layout.ts'
import type { FuseRequest } from '../../../src/fuse/kernel/request.ts'
import type { FuseSystemCalls } from '../../../src/fuse/kernel/system-calls.ts'
import { type Answer, decodeAnswer, writeRequest } from '../../support/fuse-exchange.ts'

const { EAGAIN, EINTR, EINVAL, ENODEV, ENOENT } = constants.errno

/** A /dev/fuse whose reads and writes the test decides. */
class FakeDevice {
  /** What reads find, in order: a request, or an errno. */
  readonly input: (number | Parameters<typeof writeRequest>[1])[] = []
  readonly answers: Answer[] = []
  writeErrno = 0
  watched = true
  ended = false
  #readable = () => {}

  readonly calls = {
    read: (_fd: number, into: Buffer) => {
      const next = this.input.shift() ?? EAGAIN
      return typeof next === 'number' ? -next : writeRequest(into, next)
    },
    write: (_fd: number, from: Buffer, length: number) => {
      if (this.writeErrno !== 0) return -this.writeErrno
      this.answers.push(decodeAnswer(from, length))
      return length
    },
    watch: (_fd: number, readable: () => void) => {
      this.#readable = readable
      return {
        pause: () => {
          this.watched = false
        },
        resume: () => {
          this.watched = true
        },
        end: () => {
          this.watched = false
          this.ended = true
        },
      }
    },
  } as unknown as FuseSystemCalls

  /** What the event loop does: it calls as long as there is something to read. */
  poll(): void {
    while (this.watched && this.input.length > 0) this.#readable()
  }
}

function setUp() {
  const device = new FakeDevice()
  const requests: FuseRequest[] = []
  const ends: (Error | null)[] = []
  const closed: number[] = []
  new FuseChannel({
    calls: device.calls,
    fd: 9,
    onRequest: (request) => requests.push(request),
    onEnd: (error) => ends.push(error),
    closeDescriptor: (fd) => closed.push(fd),
  })
  return { device, requests, ends, closed }
}

t.test('requests come in their order, and are answered in any', async (t) => {
  const { device, requests } = setUp()
  for (const unique of [10, 12, 2 ** 32 + 14]) {
    device.input.push({ opcode: FuseOpcode.Statfs, unique })
  }
  device.poll()
  t.equal(requests.length, 3)
  for (const request of requests.reverse()) request.fail(0)
  t.strictSame(
    device.answers.map(({ unique }) => unique),
    [2 ** 32 + 14, 12, 10],
  )
})

t.test('a request withdrawn or interrupted while it was read is none', async (t) => {
  const { device, requests, ends } = setUp()
  device.input.push(ENOENT, EINTR, { opcode: FuseOpcode.Statfs })
  device.poll()
  t.equal(requests.length, 1)
  t.strictSame(ends, [])
})

t.test('so many requests are under way at most; the kernel keeps the others', async (t) => {
  const { device, requests } = setUp()
  for (let i = 0; i < REQUESTS_MAX + 3; i++) device.input.push({ opcode: FuseOpcode.Statfs })
  device.poll()
  t.equal(requests.length, REQUESTS_MAX)
  t.notOk(device.watched)
  requests[5]?.fail(0)
  t.ok(device.watched, 'one has ended: there is room for one')
  device.poll()
  t.equal(requests.length, REQUESTS_MAX + 1)
  t.equal(requests.at(-1), requests[5], 'in the same record')
})

t.test('a program that was killed wants no answer', async (t) => {
  const { device, requests, ends } = setUp()
  device.input.push({ opcode: FuseOpcode.Statfs })
  device.poll()
  device.writeErrno = ENOENT
  requests[0]?.fail(0)
  t.strictSame(ends, [])
  t.notOk(device.ended)
})

t.test('it ends when it is unmounted, and answers that come later go nowhere', async (t) => {
  const { device, requests, ends, closed } = setUp()
  device.input.push({ opcode: FuseOpcode.Statfs }, ENODEV)
  device.poll()
  t.strictSame(ends, [null])
  t.strictSame(closed, [9])
  t.ok(device.ended)
  requests[0]?.fail(0)
  t.equal(device.answers.length, 0)
  t.notOk(device.watched)
})

t.test(
  'an answer that the kernel refuses ends the mount, rather than leave programs waiting',
  async (t) => {
    const { device, requests, ends, closed } = setUp()
    device.input.push({ opcode: FuseOpcode.Statfs })
    device.poll()
    device.writeErrno = EINVAL
    requests[0]?.fail(0)
    t.match(ends[0], { message: `/dev/fuse: write failed with errno ${EINVAL}` })
    t.strictSame(closed, [9])
  },
)
