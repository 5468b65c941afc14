import t from 'tap'
import { isPrivateKey, keyDefinition, keyDefinitions, valueBytesMax } from '../../src/iscsi/keys.ts'

t.test('every key of RFC 7143 section 13 is in the table, once', async (t) => {
  const section13 = [
    'HeaderDigest',
    'DataDigest',
    'MaxConnections',
    'SendTargets',
    'TargetName',
    'InitiatorName',
    'TargetAlias',
    'InitiatorAlias',
    'TargetAddress',
    'TargetPortalGroupTag',
    'InitialR2T',
    'ImmediateData',
    'MaxRecvDataSegmentLength',
    'MaxBurstLength',
    'FirstBurstLength',
    'DefaultTime2Wait',
    'DefaultTime2Retain',
    'MaxOutstandingR2T',
    'DataPDUInOrder',
    'DataSequenceInOrder',
    'ErrorRecoveryLevel',
    'SessionType',
    'TaskReporting',
    'iSCSIProtocolLevel',
    'IFMarker',
    'OFMarker',
    'IFMarkInt',
    'OFMarkInt',
    'X#NodeArchitecture',
  ]
  const names = keyDefinitions.map((key) => key.name)
  for (const name of section13) t.ok(names.includes(name), name)
  t.equal(new Set(names).size, names.length)
})

t.test('a default is a value that its own rule allows', async (t) => {
  for (const { name, rule, defaultValue } of keyDefinitions) {
    if (rule.kind === 'list') t.ok(rule.values.includes(defaultValue as string), name)
    if (rule.kind === 'boolean') t.match(defaultValue, /^(Yes|No)$/, name)
    if (rule.kind === 'number') {
      const value = Number(defaultValue)
      t.ok(value >= rule.range[0] && value <= rule.range[1], name)
    }
  }
})

t.test('DefaultTime2Wait alone is agreed on as the greater value', async (t) => {
  const greater = keyDefinitions.filter(
    ({ rule }) => rule.kind === 'number' && rule.result === 'maximum',
  )
  t.same(
    greater.map((key) => key.name),
    ['DefaultTime2Wait'],
  )
})

t.test('names that only look like keys have no definition', async (t) => {
  for (const name of ['constructor', '__proto__', 'maxconnections', 'X-org.platter.AccessInfo']) {
    t.equal(keyDefinition(name), undefined, name)
  }
  t.ok(isPrivateKey('X-org.platter.AccessInfo'))
  t.notOk(isPrivateKey('X#NodeArchitecture'))
})

t.test('values are at most 255 bytes long, but for large binary and private ones', async (t) => {
  t.equal(valueBytesMax('TargetName'), 255)
  t.equal(valueBytesMax('Unheard'), 255)
  t.equal(valueBytesMax('CHAP_C'), 8192)
  t.equal(valueBytesMax('X-org.platter.AccessInfo'), 8192)
})
