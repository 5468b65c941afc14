import fc from 'fast-check'
import t from 'tap'
import { encodeModeParameters6, encodeModeParameters10 } from '../../src/scsi/mode-page.ts'
import {
  decodeModeSelectCdb,
  decodeModeSelectList,
  encodeModeSelectCdb,
  encodeModeSelectList,
} from '../../src/scsi/mode-select.ts'
import { Opcode } from '../../src/scsi/opcode.ts'

t.test('both CDBs go there and back at any position', async (t) => {
  const fields = fc.record({
    pageFormat: fc.boolean(),
    savePages: fc.boolean(),
    parameterListLength: fc.nat(255),
  })
  fc.assert(
    fc.property(fields, fc.nat(9), (values, at) => {
      for (const opcode of [Opcode.ModeSelect6, Opcode.ModeSelect10] as const) {
        const cdb = Buffer.alloc(at + 10)
        encodeModeSelectCdb(cdb, at, opcode, values)
        t.same(decodeModeSelectCdb(cdb, at), values)
      }
    }),
  )
})

const page = fc.tuple(fc.nat(63), fc.uint8Array({ maxLength: 30 })).map(([code, bytes]) => {
  return Buffer.from([code, bytes.length, ...bytes])
})
const subpage = fc.tuple(fc.nat(63), fc.uint8Array({ maxLength: 30 })).map(([code, bytes]) => {
  return Buffer.from([0x40 | code, 1, 0, bytes.length, ...bytes])
})

t.test('lists are taken apart into their pages, and a cut one is none', async (t) => {
  const pages = fc.array(fc.oneof(page, subpage), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(pages, fc.boolean(), (list, ten) => {
      const data = encodeModeSelectList(list, ten)
      t.same(decodeModeSelectList(data, ten), { pages: list })
      t.equal(decodeModeSelectList(data.subarray(0, ten ? 9 : 5), ten), undefined)
      t.equal(decodeModeSelectList(data.subarray(0, 3), ten), undefined)
    }),
  )
})

t.test('block descriptors are those of MODE SENSE', async (t) => {
  const blockDescriptor = { blockCount: 4096, blockSizeBytes: 512 }
  const parameters = {
    writeProtected: false,
    dpoFua: true,
    pages: Buffer.from([1, 1, 7]),
    blockDescriptor,
  }
  const lists = [
    decodeModeSelectList(encodeModeParameters6(parameters), false),
    decodeModeSelectList(encodeModeParameters10(parameters, false), true),
    decodeModeSelectList(encodeModeParameters10(parameters, true), true),
  ]
  for (const list of lists) t.same(list, { blockDescriptor, pages: [parameters.pages] })
  const odd = encodeModeParameters6(parameters)
  odd.writeUInt8(8 + 3, 3)
  t.same(decodeModeSelectList(odd, false), { blockDescriptor: null, pages: [] })
  odd.writeUInt8(12, 3)
  t.equal(decodeModeSelectList(odd, false), undefined, 'more than there is')
})
