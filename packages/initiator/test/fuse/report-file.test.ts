import t from 'tap'
import { Errno } from '../../src/fuse/errno.ts'
import { ReportFile } from '../../src/fuse/report-file.ts'

function read(file: ReportFile, offset: number, length: number): Buffer {
  const into = Buffer.alloc(length)
  let result = 0
  file.read(offset, into, 0, length, (moved) => {
    result = moved
  })
  return into.subarray(0, result)
}

t.test('its size is that of the text that is read', async (t) => {
  let made = 0
  const file = new ReportFile(() => JSON.stringify({ made: ++made }))
  const { sizeBytes } = file
  t.equal(sizeBytes, 4096)
  t.strictSame(JSON.parse(read(file, 0, sizeBytes).toString()), { made: 1 })
  t.equal(read(file, 4000, 512).length, 96)
  t.equal(read(file, 4096, 512).length, 0)
  t.equal(made, 1)
})

t.test('a text that does not fit a page takes the next', async (t) => {
  for (const [length, size] of [[4095, 4096] as const, [4096, 8192] as const]) {
    const file = new ReportFile(() => 'x'.repeat(length))
    t.equal(file.sizeBytes, size)
    t.equal(read(file, 0, 8192).toString().trim().length, length)
  }
})

t.test('nobody writes to it', async (t) => {
  const file = new ReportFile(() => '')
  const results: number[] = []
  file.write(0, Buffer.alloc(1), 0, 1, (result) => results.push(result))
  file.zero(0, 1, (result) => results.push(result))
  file.flush((result) => results.push(result))
  t.strictSame(results, [Errno.ReadOnly, Errno.ReadOnly, 0])
})
