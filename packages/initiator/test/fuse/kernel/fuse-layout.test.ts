import t from 'tap'
import {
  attributesLayout,
  attributesOutLayout,
  directoryEntryLayout,
  entryOutLayout,
  fallocateInLayout,
  inHeaderLayout,
  initInLayout,
  initOutLayout,
  offsets,
  openInLayout,
  openOutLayout,
  outHeaderLayout,
  setattrInLayout,
  statfsOutLayout,
  transferInLayout,
  writeOutLayout,
} from '../../../src/fuse/kernel/fuse-layout.ts'

t.test('messages have the sizes of linux/fuse.h', async (t) => {
  t.equal(inHeaderLayout.span, 40)
  t.equal(outHeaderLayout.span, 16)
  t.equal(initInLayout.span, 16)
  t.equal(initOutLayout.span, 64)
  t.equal(attributesLayout.span, 88)
  t.equal(entryOutLayout.span + attributesLayout.span, 128)
  t.equal(attributesOutLayout.span + attributesLayout.span, 104)
  t.equal(openInLayout.span, 8)
  t.equal(openOutLayout.span, 16)
  t.equal(setattrInLayout.span, 8)
  t.equal(transferInLayout.span, 40)
  t.equal(fallocateInLayout.span, 32)
  t.equal(writeOutLayout.span, 8)
  t.equal(statfsOutLayout.span, 80)
  t.equal(directoryEntryLayout.span, 24)
})

t.test('fields lie where the structures have them', async (t) => {
  t.strictSame(offsets(inHeaderLayout), {
    length: 0,
    opcode: 4,
    unique: 8,
    nodeId: 16,
    uid: 24,
    gid: 28,
    pid: 32,
  })
  t.equal(offsets(transferInLayout, 40).size, 56)
  t.equal(offsets(transferInLayout, 40).openFlags, 72)
  t.equal(offsets(initOutLayout).maxPages, 28)
})
