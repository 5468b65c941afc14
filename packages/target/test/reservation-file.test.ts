import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { parseReservations, ReservationFile } from '../src/reservation-file.ts'
import type { KeptReservations, ReservationKeeper } from '../src/scsi/kept-reservations.ts'
import { settled } from '../src/volume/settled.ts'
import { stateDirectory } from './support/state-directory.ts'

const first = '7b2d6f0a-5d0e-4c8f-9a11-000000000001'
const second = '7b2d6f0a-5d0e-4c8f-9a11-000000000002'
const port = (name: string) => `iqn.2026-11.org.example:${name},i,0x800000000001`

const held = (name: string): KeptReservations => ({
  registrations: [
    { initiatorPort: port(name), key: 0xfedcba9876543210n, allTargetPorts: true },
    { initiatorPort: port('other'), key: 1n, allTargetPorts: false },
  ],
  reservation: { type: 3, holder: port(name) },
})
const keep = (keeper: ReservationKeeper, reservations: KeptReservations | null) =>
  settled((completion) => keeper.keep(reservations, completion))

t.test('what was kept is there after the file is opened again', async (t) => {
  const directory = await stateDirectory(t)
  const file = await ReservationFile.open(directory)
  t.equal(file.keeperOf(first).kept, null)
  await keep(file.keeperOf(first), held('a'))
  await keep(file.keeperOf(second), { ...held('b'), reservation: { type: 7, holder: null } })
  const again = await ReservationFile.open(directory)
  t.same(again.keeperOf(first).kept, held('a'))
  t.match(again.keeperOf(second).kept, { reservation: { type: 7, holder: null } })
  again.forget(second)
  await keep(again.keeperOf(first), null)
  await again.close()
  t.same(JSON.parse(await readFile(again.filePath, 'utf8')), { version: 1, units: [] })
})

t.test('many at once are all in the file when they are told so, in order', async (t) => {
  const directory = await stateDirectory(t)
  let writes = 0
  const file = await ReservationFile.open(directory, (step) => {
    if (step === 'renamed') writes++
  })
  const order: number[] = []
  const all = Array.from({ length: 20 }, (_, index) =>
    keep(file.keeperOf(first), held(`h${index}`)).then(() => order.push(index)),
  )
  await Promise.all(all)
  t.same(
    order,
    [...order].sort((a, b) => a - b),
  )
  t.ok(writes < 20, `${writes} writes for 20 changes`)
  t.same((await ReservationFile.open(directory)).keeperOf(first).kept, held('h19'))
})

t.test('a write that fails is told, and the next one has all', async (t) => {
  const directory = await stateDirectory(t)
  let fails = true
  const file = await ReservationFile.open(directory, (step) => {
    if (fails && step === 'written') throw new Error('no space')
  })
  await t.rejects(keep(file.keeperOf(first), held('a')), {
    name: 'VolumeError',
    message: /no space/,
  })
  fails = false
  await keep(file.keeperOf(second), held('b'))
  t.same((await ReservationFile.open(directory)).keeperOf(first).kept, held('a'))
})

t.test(
  'a file that is not whole is refused, with its name, the place and what to do',
  async (t) => {
    const directory = await stateDirectory(t)
    const filePath = path.join(directory, 'reservations.json')
    const open = async (text: string) => {
      await writeFile(filePath, text)
      return ReservationFile.open(directory)
    }
    await t.rejects(open('{"version":1,"un'), /reservations\.json is not JSON.* move the file away/)
    await t.rejects(open('{"version":2,"units":[]}'), /version: got 2, wanted 1/)
    const unit = {
      partition: first,
      registrations: [
        { initiatorPort: port('a'), key: '0x0000000000000001', allTargetPorts: false },
      ],
      reservation: { type: 1, holder: port('a') },
    }
    const parse = (...units: object[]) =>
      parseReservations(JSON.stringify({ version: 1, units }), filePath)
    t.equal(parse(unit).size, 1)
    const wrong: [object[], RegExp][] = [
      [[unit, unit], /units\[1\]\.partition: got that of units\[0\]/],
      [[{ ...unit, partition: 'x' }], /units\[0\]\.partition: got "x", wanted a UUID/],
      [[{ ...unit, registrations: [] }], /registrations/],
      [[{ ...unit, registrations: [unit.registrations[0], unit.registrations[0]] }], /twice/],
      [[{ ...unit, reservation: { type: 1, holder: null } }], /holder: got null, wanted a reg/],
      [[{ ...unit, reservation: { type: 1, holder: port('b') } }], /holder: got iqn/],
      [[{ ...unit, reservation: { type: 7, holder: port('a') } }], /wanted null/],
      [[{ ...unit, reservation: { type: 2, holder: port('a') } }], /type: got 2/],
      [
        [{ ...unit, registrations: [{ ...unit.registrations[0], key: '0x0000000000000000' }] }],
        /got a key of 0/,
      ],
    ]
    for (const [units, message] of wrong) t.throws(() => parse(...units), { message })
  },
)
