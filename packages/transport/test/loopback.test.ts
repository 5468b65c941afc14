import { once } from 'node:events'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer, Socket } from 'node:net'
import t, { type Test } from 'tap'
import { isLoopback, unpaceLoopback } from '../src/loopback.ts'

const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
const getsockopt = koffi
  .load(null)
  .func('int getsockopt(int fd, int level, int name, uintptr_t value, uintptr_t length)')

function descriptorOf(socket: Socket): number {
  return (socket as unknown as { _handle: { fd: number } })._handle.fd
}

function congestionControlOf(socket: Socket): string {
  const value = Buffer.alloc(16)
  const length = Buffer.from([16, 0, 0, 0])
  const address = (buffer: Buffer) => Number(koffi.address(buffer))
  if (getsockopt(descriptorOf(socket), 6, 13, address(value), address(length)) !== 0) {
    throw new Error(`getsockopt: errno ${koffi.errno()}`)
  }
  return value.toString('latin1', 0, value.indexOf(0))
}

async function connect(t: Test, host: string): Promise<Socket> {
  const server = createServer((socket) => socket.resume()).listen(0, host)
  await once(server, 'listening')
  const socket = new Socket().connect((server.address() as AddressInfo).port, host)
  await once(socket, 'connect')
  t.teardown(() => {
    socket.destroy()
    server.close()
  })
  return socket
}

for (const host of ['127.0.0.1', '127.1.2.3', '::1']) {
  t.test(`a connection to ${host} has reno`, async (t) => {
    const socket = await connect(t, host)
    unpaceLoopback(socket)
    t.equal(congestionControlOf(socket), 'reno')
  })
}

t.test('a connection to another machine has what the system is set to', async (t) => {
  const socket = await connect(t, '127.0.0.1')
  const before = congestionControlOf(socket)
  Object.defineProperty(socket, 'remoteAddress', { value: '192.0.2.1' })
  unpaceLoopback(socket)
  t.equal(congestionControlOf(socket), before)
})

t.test('a socket that is closed already is left alone', async (t) => {
  const socket = new Socket()
  socket.destroy()
  t.doesNotThrow(() => unpaceLoopback(socket))
})

t.test("addresses of this machine's own, and others", async (t) => {
  for (const own of ['127.0.0.1', '127.255.0.3', '::1', 'localhost', '::ffff:127.0.0.1']) {
    t.ok(isLoopback(own), own)
  }
  for (const other of ['128.0.0.1', '192.0.2.1', '2001:db8::1', 'san.example', '']) {
    t.notOk(isLoopback(other), other)
  }
})
