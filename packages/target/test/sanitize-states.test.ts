import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { SanitizeStates } from '../src/sanitize-states.ts'
import type { SanitizeRequest } from '../src/scsi/sanitizer.ts'
import { stateDirectory } from './support/state-directory.ts'

const overwrite: SanitizeRequest = {
  method: 'overwrite',
  allowUnrestrictedExit: true,
  pattern: '00ff',
  invert: true,
  overwriteCount: 3,
  failed: false,
}
const failedErase: SanitizeRequest = {
  ...overwrite,
  method: 'block-erase',
  pattern: '',
  invert: false,
  overwriteCount: 1,
  failed: true,
}

t.test('what is not done is there after a restart, each by its partition', async (t) => {
  const directory = await stateDirectory(t)
  const states = await SanitizeStates.open(directory)
  t.equal(states.storeOf('a').saved, null)
  await Promise.all([states.storeOf('a').save(overwrite), states.storeOf('b').save(failedErase)])
  const again = await SanitizeStates.open(directory)
  t.same(again.storeOf('a').saved, overwrite)
  t.same(again.storeOf('b').saved, failedErase)
  await again.storeOf('a').save(null)
  const last = await SanitizeStates.open(directory)
  t.equal(last.storeOf('a').saved, null)
  t.same(last.storeOf('b').saved, failedErase)
})

t.test('of saves at once, the last is in the file', async (t) => {
  const directory = await stateDirectory(t)
  const store = (await SanitizeStates.open(directory)).storeOf('a')
  const saves = [overwrite, null, failedErase, null, overwrite, failedErase]
  await Promise.all(saves.map((request) => store.save(request)))
  t.same((await SanitizeStates.open(directory)).storeOf('a').saved, failedErase)
})

t.test('a save that fails says so, and the next one is made all the same', async (t) => {
  const directory = await stateDirectory(t)
  const store = (await SanitizeStates.open(directory)).storeOf('a')
  await rm(directory, { recursive: true })
  await t.rejects(store.save(overwrite), { code: 'ENOENT' })
  await mkdir(directory)
  await store.save(failedErase)
  t.same((await SanitizeStates.open(directory)).storeOf('a').saved, failedErase)
})

t.test('a file that is not as it should be is refused, by name and place', async (t) => {
  const directory = await stateDirectory(t)
  const filePath = path.join(directory, 'sanitize.json')
  await (await SanitizeStates.open(directory)).storeOf('a').save(overwrite)
  const good = JSON.parse(await readFile(filePath, 'utf8'))
  const { a } = good.partitions
  for (const [wrong, message] of [
    ['{', /sanitize\.json is not JSON/],
    [{ ...good, version: 2 }, /sanitize\.json is not valid: .*version/],
    [{ ...good, partitions: { a: { ...a, pattern: 'zz' } } }, /not valid: .*pattern/],
    [{ ...good, partitions: { a: { ...a, overwriteCount: 32 } } }, /not valid: .*overwriteCount/],
    [{ ...good, partitions: { a: { ...a, more: 1 } } }, /not valid: .*more/],
  ] as const) {
    await writeFile(filePath, typeof wrong === 'string' ? wrong : JSON.stringify(wrong))
    await t.rejects(SanitizeStates.open(directory), { message })
  }
})
