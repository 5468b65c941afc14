import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { createImage, openImage } from '../../src/copy/file-image.ts'

const MiB = 2 ** 20

t.test('a new image has its size, and holes where nothing was written', async (t) => {
  const file = path.join(t.testdir(), 'image')
  const { image, close } = await createImage(file, 16 * MiB, false)
  await image.write(MiB, Buffer.alloc(4096, 'data'))
  await image.zero(2 * MiB, 8 * MiB)
  await image.flush()
  await close()
  const { size, blocks } = statSync(file)
  t.equal(size, 16 * MiB)
  t.ok(blocks * 512 < MiB, `${blocks} blocks`)
  const wanted = Buffer.alloc(16 * MiB)
  wanted.fill('data', MiB, MiB + 4096)
  t.ok(readFileSync(file).equals(wanted))
})

t.test('what exists is overwritten only when that is asked for, and then all of it', async (t) => {
  const file = path.join(t.testdir({ image: 'precious' }), 'image')
  await t.rejects(createImage(file, 100, false), { name: 'ImageExistsError', path: file })
  t.equal(readFileSync(file, 'utf8'), 'precious')
  const { image, close } = await createImage(file, 100, true)
  await image.zero(0, 50)
  await image.write(50, Buffer.alloc(50, 1))
  await image.flush()
  await close()
  t.ok(readFileSync(file).equals(Buffer.concat([Buffer.alloc(50), Buffer.alloc(50, 1)])))
})

t.test('an image tells where its holes end, and its length', async (t) => {
  const file = path.join(t.testdir(), 'image')
  writeFileSync(file, Buffer.alloc(4096, 1))
  truncateSync(file, 4 * MiB)
  const handle = await open(file, 'r+')
  await handle.write(Buffer.alloc(4096, 2), 0, 4096, 2 * MiB)
  await handle.close()
  const { image, close } = await openImage(file)
  t.equal(image.sizeBytes, 4 * MiB)
  t.equal(image.dataFrom?.(0), 0)
  t.equal(image.dataFrom?.(MiB), 2 * MiB)
  t.equal(image.dataFrom?.(3 * MiB), 4 * MiB, 'nothing but a hole')
  const into = Buffer.alloc(8192, 9)
  t.equal(await image.read(2 * MiB, into), 8192)
  t.ok(into.equals(Buffer.concat([Buffer.alloc(4096, 2), Buffer.alloc(4096)])))
  t.equal(await image.read(4 * MiB - 100, into), 100, 'as much as there is')
  await close()
})

t.test('devices that keep nothing are written one byte after the other', async (t) => {
  const { image, close } = await createImage('/dev/null', 10, false)
  t.equal(image.sequential, true)
  await image.write(0, Buffer.alloc(10))
  await image.flush()
  await close()
  const full = await createImage('/dev/full', 10, false)
  await t.rejects(full.image.write(0, Buffer.alloc(10)), {
    code: 'ENOSPC',
    message: /^\/dev\/full: /,
  })
  await full.close()
  const endless = await openImage('/dev/zero')
  t.equal(endless.image.sizeBytes, null)
  t.equal(await endless.image.read(0, Buffer.alloc(100_000)), 100_000)
  await endless.close()
})

t.test('errors name the file', async (t) => {
  const directory = t.testdir()
  await t.rejects(openImage(directory), { message: `${directory} is a directory, not an image` })
  await t.rejects(openImage(path.join(directory, 'none')), { code: 'ENOENT', message: /none/ })
  await t.rejects(createImage(path.join(directory, 'no', 'image'), 1, false), { code: 'ENOENT' })
  await t.rejects(createImage(directory, 1, true), { code: 'EISDIR' })
})
