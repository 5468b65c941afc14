import { chapAlgorithms } from '@platter/protocol/iscsi'
import t from 'tap'
import { type ProtocolVersion, protocolVersions, selectVersion } from '../../src/session/version.ts'

t.test('the one version that there is allows what RFC 7143 has', async (t) => {
  t.strictSame(protocolVersions, [{ number: 0, authMethods: ['CHAP', 'None'], chapAlgorithms }])
  t.equal(selectVersion({ versionMin: 0, versionMax: 0 }), protocolVersions[0])
  t.equal(selectVersion({ versionMin: 0, versionMax: 255 }), protocolVersions[0])
  t.equal(selectVersion({ versionMin: 1, versionMax: 255 }), undefined)
})

t.test('the newest version common to both is selected, and its row with it', async (t) => {
  const later: ProtocolVersion = { number: 3, authMethods: ['CHAP'], chapAlgorithms: [8] }
  const versions = [...protocolVersions, later]
  const cases: [number, number, number | undefined][] = [
    [0, 0, 0],
    [0, 2, 0],
    [0, 3, 3],
    [1, 9, 3],
    [1, 2, undefined],
    [4, 9, undefined],
    [3, 0, undefined],
  ]
  for (const [versionMin, versionMax, number] of cases) {
    const selected = selectVersion({ versionMin, versionMax }, versions)
    t.equal(selected?.number, number, `${versionMin} to ${versionMax}`)
  }
})
