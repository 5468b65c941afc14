import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import { DataIn, Opcode, ReadyToTransfer, ScsiResponse } from '@platter/protocol/iscsi'
import t, { type Test } from 'tap'
import { IscsiServer } from '../../src/net/iscsi-server.ts'
import { FaultVolume } from '../../src/volume/fault-volume.ts'
import { MemoryVolume } from '../../src/volume/memory-volume.ts'
import { makeNode } from '../support/scripted-initiator.ts'
import { WireInitiator } from '../support/wire-initiator.ts'

const MIB = 1024 * 1024

/** A server on a port of its own, with `connect` for initiators of it. */
async function serve(t: Test, connectionsMax = 8, loginsPerAddressMax = 8, loginsMax = 8) {
  const lines: string[] = []
  const note = (line: string) => lines.push(line)
  const log = { error: note, warn: note, info: note, debug: () => {} }
  const volume = new FaultVolume(new MemoryVolume('m', 4 * MIB))
  const { node, executor } = makeNode(volume, { maxBurstLength: MIB })
  const server = new IscsiServer({
    node,
    log,
    connectionsMax,
    loginsMax,
    loginsPerAddressMax,
  })
  const { port, host } = await server.listen('127.0.0.1', 0)
  t.equal(host, '127.0.0.1')
  let open = true
  const close = async () => {
    if (open) await server.close()
    open = false
  }
  t.teardown(close)
  return {
    server,
    node,
    executor,
    volume,
    lines,
    port,
    close,
    connect: () => new WireInitiator(port),
  }
}

const keys = {
  MaxRecvDataSegmentLength: '262144',
  MaxBurstLength: `${MIB}`,
  FirstBurstLength: '65536',
}

/** Writes `data` at block `lba`, 64 KiB at once with the command, the rest when it is asked for. */
async function write(initiator: WireInitiator, lba: number, data: Buffer): Promise<ScsiResponse> {
  const tag = initiator.command(0x2a, lba, data.length / 512, data.subarray(0, 65536))
  for (;;) {
    const { header } = await initiator.receive()
    if (header[0] === Opcode.ScsiResponse) return new ScsiResponse().at(header, 0)
    const r2t = new ReadyToTransfer().at(header, 0)
    const end = r2t.bufferOffset + r2t.desiredDataTransferLength
    let { bufferOffset: offset } = r2t
    let dataSN = 0
    for (; offset < end; dataSN++) {
      const next = Math.min(offset + 65536, end)
      const piece = data.subarray(offset, next)
      initiator.dataOut(
        { tag, ttt: r2t.targetTransferTag, offset, dataSN, final: next === end },
        piece,
      )
      offset = next
    }
  }
}

async function read(initiator: WireInitiator, lba: number, length: number): Promise<Buffer> {
  initiator.command(0x28, lba, length / 512)
  const pieces: Buffer[] = []
  for (;;) {
    const { header, data } = await initiator.receive()
    pieces.push(data)
    if (new DataIn().at(header, 0).hasStatus) return Buffer.concat(pieces)
  }
}

t.test('what is written over a socket is read back over another', async (t) => {
  const { connect, volume } = await serve(t)
  const [one, two] = [connect(), connect()]
  t.equal(await one.login('400000010000', keys), 0)
  t.equal(await two.login('400000020000', keys), 0)
  for (const refuseNow of [false, true]) {
    volume.refuseNow = refuseNow
    const data = randomFillSync(Buffer.alloc(MIB + 512))
    t.equal((await write(one, 3, data)).status, 0)
    t.ok((await read(two, 3, data.length)).equals(data))
    t.ok((await read(two, 4, 4096)).equals(data.subarray(512, 512 + 4096)))
  }
})

t.test('many reads at once are answered in full, though the reader takes a rest', async (t) => {
  const { connect, executor } = await serve(t)
  const initiator = connect()
  await initiator.login('400000010000', keys)
  initiator.socket.pause()
  // 128 MiB: much more than the output may hold.
  const count = 128
  for (let i = 0; i < count; i++) initiator.command(0x28, 0, 2048)
  initiator.socket.resume()
  let bytes = 0
  for (let ended = 0; ended < count; ) {
    const { header, data } = await initiator.receive()
    bytes += data.length
    if (new DataIn().at(header, 0).hasStatus) ended++
  }
  t.equal(bytes, count * MIB)
  t.equal(executor.executed.length, count)
})

t.test('a connection too many is closed, and its place can be had later', async (t) => {
  const { connect, lines } = await serve(t, 1)
  const first = connect()
  t.equal(await first.login('400000010000'), 0)
  await connect().closed
  t.match(lines.join('\n'), /refused: 1 connections/)
  first.socket.destroy()
  await first.closed
  for (;;) {
    const later = connect()
    const outcome = await Promise.race([later.login('400000010000'), later.closed])
    if (outcome === 0) break
  }
  t.pass('let in')
})

t.test('logins of one address that are not done do not take every place', async (t) => {
  const { connect, lines } = await serve(t, 8, 2)
  const first = connect()
  t.equal(await first.login('400000010000'), 0, 'who has logged in does not count')
  const idle = [connect(), connect()]
  await Promise.all(idle.map(({ socket }) => once(socket, 'connect')))
  await connect().closed
  t.match(lines.join('\n'), /127\.0\.0\.1: refused: 2 logins of it are under way/)
  t.ok(idle.every(({ socket }) => !socket.destroyed))
})

t.test('logins that are not done are bounded over all addresses too', async (t) => {
  const { connect, lines } = await serve(t, 8, 8, 2)
  const idle = [connect(), connect()]
  await Promise.all(idle.map(({ socket }) => once(socket, 'connect')))
  await connect().closed
  t.match(lines.join('\n'), /refused: 2 logins are under way/)
  t.equal(await idle[0]?.login('400000010000'), 0)
  t.equal(await connect().login('400000020000'), 0, 'there is room when one is done')
})

t.test('a fault of ours ends the connection that it came up on, and no other', async (t) => {
  const { connect, executor, lines } = await serve(t)
  const [one, two] = [connect(), connect()]
  await one.login('400000010000', keys)
  await two.login('400000020000', keys)
  const { execute } = executor
  executor.execute = () => {
    throw new Error('a fault of ours')
  }
  one.command(0x28, 0, 1)
  await one.closed
  executor.execute = execute
  t.equal((await read(two, 0, 512)).length, 512)
  t.match(lines.join('\n'), /connection failed: Error: a fault of ours/)
})

t.test('nonsense ends its connection', async (t) => {
  const { connect } = await serve(t)
  const initiator = connect()
  // A NOP-Out before login.
  initiator.socket.write(Buffer.alloc(48))
  await initiator.closed
  const other = connect()
  t.equal(await other.login('400000010000'), 0)
})

t.test('closing waits for connections and their storage operations', async (t) => {
  const { connect, close, node, executor, volume } = await serve(t)
  const initiator = connect()
  await initiator.login('400000010000', keys)
  volume.refuseNow = true
  const executed = new Promise<void>((resolve) => {
    const { execute } = executor
    executor.execute = (task) => {
      execute.call(executor, task)
      resolve()
    }
  })
  initiator.command(0x28, 0, 8)
  await executed
  await close()
  await initiator.closed
  t.equal([...node.sessions()].length, 0)
  t.equal(executor.closedNexuses.length, 1)
})

t.test('a port that is taken is an error of listen', async (t) => {
  const { server, port } = await serve(t)
  await t.rejects(server.listen('127.0.0.1', port), { code: 'EADDRINUSE' })
})
