import { chmod, chown, mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { makePrivateDirectory, readPrivateFileIfThere, replaceFile } from '../src/durable-file.ts'

const modeOf = async (file: string) => (await stat(file)).mode & 0o777

t.test(
  'a directory is made for its owner alone, and one that others may look at is good',
  async (t) => {
    const directory = path.join(t.testdir(), 'above', 'state')
    await makePrivateDirectory(directory)
    t.equal(await modeOf(directory), 0o700)
    await chmod(directory, 0o755)
    await t.resolves(makePrivateDirectory(directory))
  },
)

t.test('a directory that others may change is refused, and it is said what to do', async (t) => {
  const directory = path.join(t.testdir(), 'state')
  await mkdir(directory)
  for (const mode of [0o720, 0o702, 0o777]) {
    await chmod(directory, mode)
    const message = new RegExp(
      `others may change .*state \\(mode 0${mode.toString(8)}\\).*: chmod 700`,
    )
    await t.rejects(makePrivateDirectory(directory), { message })
  }
})

t.test("a file is its owner's alone, whatever lay in the way of its writing", async (t) => {
  const file = path.join(t.testdir(), 'state.json')
  await writeFile(`${file}.new`, 'left', { mode: 0o666 })
  await chmod(`${file}.new`, 0o666)
  await replaceFile(file, 'text')
  t.equal(await readFile(file, 'utf8'), 'text')
  t.equal(await modeOf(file), 0o600)
})

const asRoot = { skip: process.getuid?.() !== 0 }

t.test('what belongs to another user is not taken', asRoot, async (t) => {
  const directory = path.join(t.testdir(), 'state')
  await makePrivateDirectory(directory)
  const file = path.join(directory, 'secret')
  await replaceFile(file, 'text')
  for (const it of [file, directory]) await chown(it, 12345, 12345)
  const message = /belongs to another user \(uid 12345\)/
  await t.rejects(readPrivateFileIfThere(file), { message })
  await t.rejects(makePrivateDirectory(directory), { message })
})
