import fc from 'fast-check'
import t from 'tap'
import {
  decodeReadDefectDataCdb,
  encodeEmptyDefectList,
  encodeReadDefectDataCdb,
} from '../../src/scsi/defect-data.ts'
import { Opcode } from '../../src/scsi/opcode.ts'

t.test('READ DEFECT DATA goes there and back in both lengths', async (t) => {
  for (const opcode of [Opcode.ReadDefectData10, Opcode.ReadDefectData12]) {
    fc.assert(
      fc.property(fc.nat(0x1f), fc.nat(0xffff), (listsAndFormat, allocationLength) => {
        const cdb = Buffer.alloc(15)
        encodeReadDefectDataCdb(cdb, 3, opcode, { listsAndFormat, allocationLength })
        t.same(decodeReadDefectDataCdb(cdb, 3), { listsAndFormat, allocationLength })
      }),
      { numRuns: 20 },
    )
  }
})

t.test('an empty defect list is a header alone', async (t) => {
  t.equal(encodeEmptyDefectList(Opcode.ReadDefectData10, 0x1d).toString('hex'), '001d0000')
  t.equal(encodeEmptyDefectList(Opcode.ReadDefectData12, 0x0d).toString('hex'), '000d000000000000')
})
