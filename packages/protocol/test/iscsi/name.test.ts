import t from 'tap'
import {
  formatInitiatorPort,
  formatIscsiUrl,
  formatTargetAddress,
  formatTargetPort,
  NAME_BYTES_MAX,
  parseIscsiUrl,
  parseName,
  parseTargetAddress,
} from '../../src/iscsi/name.ts'

const iqn = 'iqn.2024-01.org.platter:san'

t.test('names of the three types are told apart', async (t) => {
  t.same(parseName(iqn), { type: 'iqn', name: iqn })
  t.same(parseName('iqn.2008-11.org.linux-kvm'), { type: 'iqn', name: 'iqn.2008-11.org.linux-kvm' })
  t.equal(parseName('iqn.2010-11.iscsi-ls')?.type, 'iqn')
  t.equal(parseName('eui.02004567A425678D')?.type, 'eui')
  t.equal(parseName('naa.52004567BA64678D')?.type, 'naa')
  t.equal(parseName('naa.62004567BA64678D0123456789ABCDEF')?.type, 'naa')
})

t.test('names that differ in case only are the same (RFC 3722)', async (t) => {
  t.equal(parseName('IQN.2024-01.ORG.Platter:Ärger')?.name, 'iqn.2024-01.org.platter:ärger')
  t.equal(parseName('eui.02004567A425678D')?.name, 'eui.02004567a425678d')
})

t.test('what is not a name is refused', async (t) => {
  const wrong = [
    '',
    'iqn.',
    'iqn.2024.org.platter',
    'iqn.2024-13.org.platter',
    'iqn.2024-01.',
    'iqn.2024-01.org..platter',
    'iqn.2024-01.org.platter:a b',
    'iqn.2024-01.org.platter:a/b',
    'iqn.2024-01.org.platter:a\nb',
    'eui.02004567A425678',
    'eui.02004567A425678G',
    'naa.52004567BA64678D00',
    'wwn.1',
  ]
  for (const text of wrong) t.equal(parseName(text), undefined, JSON.stringify(text))
})

t.test('a name has at most 223 bytes', async (t) => {
  const longest = `${iqn}${'x'.repeat(NAME_BYTES_MAX - iqn.length)}`
  t.ok(parseName(longest))
  t.equal(parseName(`${longest}x`), undefined)
  t.equal(parseName(`${longest.slice(0, -1)}é`), undefined)
})

t.test('a target address has a host, and may have a port and a portal group tag', async (t) => {
  t.same(parseTargetAddress('10.0.0.1'), { host: '10.0.0.1', port: 3260 })
  t.same(parseTargetAddress('san.example.com:860,1'), {
    host: 'san.example.com',
    port: 860,
    targetPortalGroupTag: 1,
  })
  t.same(parseTargetAddress('[2001:db8::7]:3260,65535'), {
    host: '2001:db8::7',
    port: 3260,
    targetPortalGroupTag: 65535,
  })
  t.same(parseTargetAddress('[fe80::1%eth0]'), { host: 'fe80::1%eth0', port: 3260 })
})

t.test('what is not a target address is refused', async (t) => {
  const wrong = [
    '',
    ':3260',
    'host:',
    'host:0',
    'host:65536',
    'host,',
    'host,65536',
    '2001:db8::7',
    '[::1',
  ]
  for (const text of wrong) t.equal(parseTargetAddress(text), undefined, JSON.stringify(text))
})

t.test('a target address is written as it is read', async (t) => {
  for (const text of ['10.0.0.1:3260,1', '[2001:db8::7]:860,2', 'san.example.com:3260']) {
    const address = parseTargetAddress(text)
    t.equal(address && formatTargetAddress(address), text)
  }
  t.equal(formatTargetAddress({ host: '::ffff:127.0.0.1', port: 3260 }), '127.0.0.1:3260')
})

t.test('an iscsi URL names a portal, a target or a logical unit', async (t) => {
  t.same(parseIscsiUrl('iscsi://san'), { host: 'san', port: 3260 })
  t.same(parseIscsiUrl('iscsi://san:860/'), { host: 'san', port: 860 })
  t.same(parseIscsiUrl(`iscsi://san/${iqn}`), { host: 'san', port: 3260, targetName: iqn })
  t.same(parseIscsiUrl(`iscsi://[::1]:3261/${iqn}/7`), {
    host: '::1',
    port: 3261,
    targetName: iqn,
    lun: 7,
  })
})

t.test('what is not an iscsi URL is refused', async (t) => {
  const wrong = [
    'http://san',
    'iscsi://',
    'iscsi://san,1',
    'iscsi://san/disk/0',
    `iscsi://san/${iqn}/x`,
    `iscsi://san/${iqn}/16384`,
    `iscsi://san/${iqn}/0/1`,
  ]
  for (const text of wrong) t.equal(parseIscsiUrl(text), undefined, text)
})

t.test('an iscsi URL is written as it is read', async (t) => {
  for (const text of [
    `iscsi://[::1]:3261/${iqn}/7`,
    `iscsi://san:3260/${iqn}`,
    'iscsi://san:860',
  ]) {
    const url = parseIscsiUrl(text)
    t.equal(url && formatIscsiUrl(url), text)
  }
})

t.test(
  'a SCSI port has the name of its node, with ISID or portal group (RFC 7143 section 4.4.2)',
  async (t) => {
    t.equal(formatInitiatorPort(iqn, '00023d000001'), `${iqn},i,0x00023d000001`)
    t.equal(formatTargetPort(iqn, 1), `${iqn},t,0x0001`)
    t.equal(formatTargetPort(iqn, 0xffff), `${iqn},t,0xffff`)
  },
)
