/**
 * Makes the wire vectors of packages/protocol/test/iscsi/vectors anew: runs libiscsi's tools and
 * qemu-io against tgtd through a proxy that records, and keeps one PDU of each sort. Needs tgt,
 * libiscsi-bin, qemu-utils and qemu-block-extra, root's rights for tgtd, and built packages.
 *
 *     node scripts/capture-vectors.mjs [PORT]      PORT and the one after it on 127.0.0.1 are used
 */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'

const protocol = fileURLToPath(new URL('../packages/protocol', import.meta.url))
const folder = join(protocol, 'test/iscsi/vectors')
const proxyPort = Number(process.argv[2] ?? 42100)
const targetPort = proxyPort + 1
const targetName = 'iqn.2026-11.org.platter:vectors'
const digestName = 'iqn.2026-11.org.platter:digest'
const secretName = 'iqn.2026-11.org.platter:secret'
const account = 'host-1'
const secret = 'secret-of-host-1'
const url = `iscsi://127.0.0.1:${proxyPort}/${targetName}/1`

/** @type {Record<string, any>} every view class and every layout, by name */
const codec = await importAll(join(protocol, 'dist/iscsi/pdu'))
const { describePdu, opcodeName } = await importAll(join(protocol, 'dist/iscsi'))

/**
 * One PDU as it came over the wire.
 * @typedef {{ client: string, sender: 'initiator' | 'target', bytes: Buffer, headerDigest: boolean,
 *   view: any, kind: string }} Recorded
 */

/** @type {Recorded[]} */
const recorded = []
let client = ''

/**
 * What is kept: the first PDU of the kind that the condition holds for.
 * @type {readonly (readonly [file: string, kind: string, condition?: (view: any, pdu: Recorded) => boolean])[]}
 */
const wanted = [
  ['login-request-security', 'LoginRequest', (view) => view.currentStage === 0],
  ['login-response-security', 'LoginResponse', (view) => view.currentStage === 0],
  ['login-request-chap-algorithm', 'LoginRequest', (_, pdu) => says(pdu, 'CHAP_A=')],
  ['login-response-chap-challenge', 'LoginResponse', (_, pdu) => says(pdu, 'CHAP_C=')],
  ['login-request-chap-response', 'LoginRequest', (_, pdu) => says(pdu, 'CHAP_R=')],
  ['login-request-operational', 'LoginRequest', (view) => view.currentStage === 1],
  ['login-response-operational', 'LoginResponse', (view) => view.currentStage === 1],
  ['login-response-not-found', 'LoginResponse', (view) => view.statusClass === 2],
  ['text-request-send-targets', 'TextRequest'],
  ['text-response-send-targets', 'TextResponse'],
  ['scsi-command-inquiry', 'ScsiCommand', (view) => view.buffer[view.cdbPosition] === 0x12],
  ['scsi-command-read', 'ScsiCommand', (view, pdu) => isBlockIo(view, 'read', pdu)],
  ['scsi-command-immediate-data', 'ScsiCommand', (view, pdu) => isBlockIo(view, 'write', pdu)],
  ['scsi-command-header-digest', 'ScsiCommand', (_, pdu) => pdu.headerDigest],
  ['scsi-response-good', 'ScsiResponse', (view) => view.status === 0],
  ['scsi-response-check-condition', 'ScsiResponse', (view) => view.status === 2],
  ['scsi-response-underflow', 'ScsiResponse', (view) => view.residualUnderflow],
  ['scsi-response-overflow', 'ScsiResponse', (view) => view.residualOverflow],
  ['data-in-with-status', 'DataIn', (view) => view.hasStatus],
  ['data-in-header-digest', 'DataIn', (_, pdu) => pdu.headerDigest],
  ['data-out-unsolicited', 'DataOut', (view) => view.targetTransferTag === 0xffffffff],
  ['data-out-solicited', 'DataOut', (view) => view.targetTransferTag !== 0xffffffff],
  ['ready-to-transfer', 'ReadyToTransfer'],
  ['task-management-request-abort', 'TaskManagementRequest', (view) => view.function === 1],
  ['task-management-request-reset', 'TaskManagementRequest', (view) => view.function === 5],
  ['task-management-response', 'TaskManagementResponse'],
  ['nop-out-ping', 'NopOut', (view) => view.targetTransferTag === 0xffffffff],
  ['nop-out-answer', 'NopOut', (view) => view.targetTransferTag !== 0xffffffff],
  ['nop-in-ping', 'NopIn', (view) => view.targetTransferTag !== 0xffffffff],
  ['nop-in-answer', 'NopIn', (view) => view.targetTransferTag === 0xffffffff],
  ['logout-request', 'LogoutRequest'],
  ['logout-response', 'LogoutResponse'],
]
const dataBytesMax = 1024

/** @param {any} view @param {'read' | 'write'} direction @param {Recorded} pdu */
function isBlockIo(view, direction, pdu) {
  return pdu.client === 'qemu-io' && view[direction] && view.expectedDataTransferLength > 0
}

/** @param {Recorded} pdu @param {string} text */
function says(pdu, text) {
  return pdu.bytes.includes(text, 48)
}

/** @param {string} from */
async function importAll(from) {
  const files = readdirSync(from).filter((name) => name.endsWith('.js'))
  const modules = files.map((name) => import(pathToFileURL(join(from, name)).href))
  return Object.assign({}, ...(await Promise.all(modules)))
}

/**
 * Cuts what one side sends into PDUs: by the rules of RFC 7143 section 11.2, not by our framer.
 * @param {Recorded['sender']} sender
 * @param {{ headerDigest: boolean }} connection shared by both sides
 */
function recorder(sender, connection) {
  let rest = Buffer.alloc(0)
  let fullFeature = false
  /** @param {Buffer} chunk */
  return (chunk) => {
    rest = Buffer.concat([rest, chunk])
    while (rest.length >= 48) {
      const headerDigest = connection.headerDigest && fullFeature
      const header = 48 + 4 * rest.readUInt8(4) + (headerDigest ? 4 : 0)
      const length = header + Math.ceil(rest.readUIntBE(5, 3) / 4) * 4
      if (rest.length < length) return
      const bytes = Buffer.from(rest.subarray(0, length))
      rest = rest.subarray(length)
      const kind = opcodeName(bytes.readUInt8(0) & 0x3f)
      const view = new codec[kind]().at(bytes, 0)
      const pdu = { client, sender, bytes, headerDigest, view, kind }
      recorded.push(pdu)
      if (!kind.startsWith('Login')) continue
      fullFeature = view.transit && view.nextStage === 3
      if (kind === 'LoginResponse' && says(pdu, 'HeaderDigest=CRC32C'))
        connection.headerDigest = true
    }
  }
}

const proxy = net.createServer((initiator) => {
  const target = net.connect(targetPort, '127.0.0.1')
  const connection = { headerDigest: false }
  /** @type {readonly (readonly [net.Socket, net.Socket, Recorded['sender']])[]} */
  const ways = [
    [initiator, target, 'initiator'],
    [target, initiator, 'target'],
  ]
  for (const [from, to, sender] of ways) {
    const record = recorder(sender, connection)
    from.on('data', (chunk) => {
      record(chunk)
      to.write(chunk)
    })
    from.on('close', () => to.destroy())
    from.on('error', () => to.destroy())
  }
})

/** Runs a client; some are meant to fail. @param {string[]} command */
async function run(...command) {
  const [program = '', ...parameters] = command
  client = program
  const child = spawn(program, parameters, { stdio: 'ignore' })
  await new Promise((resolve) => child.on('close', resolve))
}

async function runClients() {
  await run('iscsi-ls', `iscsi://127.0.0.1:${proxyPort}`)
  await run('iscsi-inq', url)
  await run('iscsi-inq', url.replace('vectors', 'nowhere'))
  await run('iscsi-inq', url.replace('//', `//${account}%${secret}@`).replace('vectors', 'secret'))
  await run('iscsi-readcapacity16', url)
  await run('iscsi-inq', url.replace('vectors/1', 'digest/0'))
  const io = ['-f', 'raw', '-c', 'write -P 0xa5 0 512', '-c', 'read -P 0xa5 0 512']
  const large = ['-c', 'write -P 0x5a 0 8704', '-c', 'write -P 0x5a 0 131584']
  await run('qemu-io', ...io, ...large, '-c', 'sleep 7000', url)
  for (const suite of ['iSCSITMF.LUNResetSimpleAsync', 'iSCSITMF', 'iSCSIResiduals']) {
    await run('iscsi-test-cu', '--dataloss', '-t', `ALL.${suite}`, url)
  }
}

/** The rows of four bytes of a header, each with the fields that begin in it. @param {Recorded} pdu */
function headerRows({ kind, view, bytes }) {
  const notes = Array.from({ length: 12 }, () => /** @type {string[]} */ ([]))
  const ofLayout = new Set()
  let at = 0
  for (const { property, span } of codec[`${kind[0]?.toLowerCase()}${kind.slice(1)}Layout`]
    .fields) {
    const blob = span > 4 ? bytes.toString('hex', at, at + span) : undefined
    if (property !== undefined && property !== 'opcode' && property !== 'flags') {
      notes[at >> 2]?.push(`${property}=${blob ?? view[property]}`)
      ofLayout.add(property)
    }
    at += span
  }
  const own = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(view))
  const flags = Object.keys(own).filter((name) => own[name]?.get && !ofLayout.has(name))
  for (const name of flags.filter((name) => !name.endsWith('Position')).reverse()) {
    notes[0]?.unshift(`${name}=${view[name]}`)
  }
  notes[0]?.unshift(`opcode=${view.opcode}`, `immediate=${view.immediate}`)
  return notes.map((fields, row) => {
    const note = fields.length > 0 ? `  # ${fields.join(' ')}` : ''
    return `${hex(bytes, 4 * row, 4)}${note}`
  })
}

/** @param {Buffer} bytes @param {number} at @param {number} length */
function hex(bytes, at, length) {
  return (bytes.toString('hex', at, at + length).match(/../g) ?? []).join(' ')
}

/** @param {Recorded} pdu */
function vectorText(pdu) {
  const { bytes, headerDigest } = pdu
  const to = pdu.sender === 'initiator' ? 'to tgtd' : 'from tgtd'
  const version = versions[pdu.client === 'qemu-io' ? 'qemu-utils' : 'libiscsi-bin']
  const lines = [`# ${pdu.client} ${version}, ${to} ${versions.tgt}`, `# ${describePdu(bytes)}`, '']
  lines.push(...headerRows(pdu))
  if (headerDigest) lines.push(`${hex(bytes, 48, 4)}  # headerDigest`)
  for (let at = headerDigest ? 52 : 48; at < bytes.length; at += 16) {
    const text = bytes.toString('latin1', at, at + 16).replaceAll(/[^ -~]/g, '.')
    lines.push(`${hex(bytes, at, 16).padEnd(47)}  | ${text}`.trimEnd())
  }
  return `${lines.join('\n')}\n`
}

/** @type {Record<string, string>} */
const versions = {}
for (const name of ['libiscsi-bin', 'qemu-utils', 'tgt']) {
  const full = execFileSync('dpkg-query', ['-W', '-f', '$' + '{Version}', name], {
    encoding: 'utf8',
  })
  versions[name] = full.replace(/^\d+:/, '').replace(/[+-].*$/, '')
}

const scratch = mkdtempSync(join(tmpdir(), 'vectors-'))
const disk = join(scratch, 'disk')
writeFileSync(disk, '')
truncateSync(disk, 16 << 20)
const control = String(targetPort >> 1)
const iscsi = `portal=127.0.0.1:${targetPort},nop_interval=2,nop_count=9`
const daemon = spawn('tgtd', ['-f', '-C', control, '--iscsi', iscsi], { stdio: 'ignore' })
/** @param {string[]} parameters */
const administer = (...parameters) =>
  execFileSync('tgtadm', ['-C', control, '--lld', 'iscsi', ...parameters])
/** @param {string} tid @param {string} name @param {string} value */
const setParameter = (tid, name, value) =>
  administer('--op', 'update', '--mode', 'target', '--tid', tid, '-n', name, '-v', value)
try {
  await sleep(1000)
  for (const [index, name] of [targetName, secretName, digestName].entries()) {
    administer('--op', 'new', '--mode', 'target', '--tid', `${index + 1}`, '-T', name)
    administer('--op', 'bind', '--mode', 'target', '--tid', `${index + 1}`, '-I', 'ALL')
  }
  administer('--op', 'new', '--mode', 'logicalunit', '--tid', '1', '--lun', '1', '-b', disk)
  setParameter('1', 'InitialR2T', 'No')
  administer('--op', 'new', '--mode', 'account', '--user', account, '--password', secret)
  administer('--op', 'bind', '--mode', 'account', '--tid', '2', '--user', account)
  setParameter('3', 'HeaderDigest', 'CRC32C,None')
  await once(proxy.listen(proxyPort, '127.0.0.1'), 'listening')
  await runClients()
} finally {
  proxy.close()
  daemon.kill('SIGKILL')
  rmSync(scratch, { recursive: true })
  for (const end of ['', '.lock']) rmSync(`/var/run/tgtd/socket.${control}${end}`, { force: true })
}

for (const [file, kind, condition] of wanted) {
  const small = recorded.filter(
    (pdu) => pdu.kind === kind && pdu.view.dataSegmentLength <= dataBytesMax,
  )
  const found = small.find((pdu) => condition === undefined || condition(pdu.view, pdu))
  if (found === undefined) throw new Error(`${file}: no such PDU was seen`)
  writeFileSync(join(folder, `${file}.txt`), vectorText(found))
}
