import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import * as iscsi from '../../src/iscsi/index.ts'

const folder = fileURLToPath(new URL('vectors/', import.meta.url))

/** A PDU as its file has it: the bytes, and what the notes beside them say of its fields. */
interface Vector {
  readonly name: string
  readonly bytes: Buffer
  readonly fields: ReadonlyMap<string, string>
  readonly headerDigest: boolean
}

function load(name: string): Vector {
  const lines = readFileSync(`${folder}${name}`, 'utf8').split('\n')
  const rows = lines.filter((line) => line !== '' && !line.startsWith('#'))
  const bytes = rows.map((row) =>
    Buffer.from(row.replace(/[#|].*/s, '').replaceAll(' ', ''), 'hex'),
  )
  const notes = rows.map((row) => / # (.*)/.exec(row)?.[1] ?? '')
  const pairs = notes.flatMap((note) => note.match(/\w+=\w+/g) ?? [])
  return {
    name,
    bytes: Buffer.concat(bytes),
    fields: new Map(pairs.map((pair) => pair.split('=') as [string, string])),
    headerDigest: notes.includes('headerDigest'),
  }
}

type Views = Readonly<Record<string, new () => iscsi.BasicHeader>>

function viewOf({ fields }: Vector): iscsi.BasicHeader {
  const View = (iscsi as unknown as Views)[iscsi.opcodeName(Number(fields.get('opcode')))]
  return new (View as new () => iscsi.BasicHeader)()
}

/** Where fields of several bytes lie, by the view: a LUN, an ISID, a CDB. */
function positionOf(view: iscsi.BasicHeader, name: string): number | undefined {
  return Reflect.get(view, `${name}Position`) as number | undefined
}

/** The PDU laid out anew from the notes; the data segment alone is taken from the bytes. */
function encode(vector: Vector): Buffer {
  const { fields, headerDigest } = vector
  const dataLength = Number(fields.get('dataSegmentLength'))
  const pdu = Buffer.alloc(iscsi.pduLength(0, dataLength, headerDigest, false), 0xee)
  const view = viewOf(vector).init(pdu, 0)
  for (const [name, value] of fields) {
    const position = positionOf(view, name)
    if (position !== undefined) pdu.write(value, position, 'hex')
    else Reflect.set(view, name, /^(true|false)$/.test(value) ? value === 'true' : Number(value))
  }
  const data = iscsi.dataPosition(0, 0, headerDigest)
  vector.bytes.copy(pdu, data, data, data + dataLength)
  iscsi.sealPdu(pdu, 0, dataLength, headerDigest, false)
  return pdu
}

const vectors = readdirSync(folder)
  .filter((name) => name.endsWith('.txt'))
  .map(load)

t.test('every field of a recorded PDU is read as its note says', async (t) => {
  for (const vector of vectors) {
    const view = viewOf(vector).at(vector.bytes, 0)
    for (const [name, value] of vector.fields) {
      const at = positionOf(view, name)
      const got =
        at === undefined
          ? String(Reflect.get(view, name))
          : vector.bytes.toString('hex', at, at + value.length / 2)
      t.equal(got, value, `${vector.name}: ${name}`)
    }
    const names = Object.getOwnPropertyDescriptors(Object.getPrototypeOf(view))
    for (const [name, { get }] of Object.entries(names)) {
      if (get === undefined || name.endsWith('Position')) continue
      t.ok(vector.fields.has(name), `${vector.name} has a note of ${name}`)
    }
  }
})

t.test('a recorded PDU laid out anew from its fields has the same bytes', async (t) => {
  for (const vector of vectors) {
    t.equal(encode(vector).toString('hex'), vector.bytes.toString('hex'), vector.name)
  }
})

t.test('the framer takes in what others sent, header digests too', async (t) => {
  for (const { name, bytes, fields, headerDigest } of vectors) {
    const events: string[] = []
    const framer = new iscsi.Framer(
      {
        onHeader: (buffer, base) => events.push(buffer.toString('hex', base, base + 48)),
        onData: (buffer, position, length) =>
          events.push(buffer.toString('hex', position, position + length)),
        onEnd: () => events.push('end'),
        onDataDigestError: () => events.push('data digest error'),
      },
      8192,
    )
    framer.headerDigest = headerDigest
    t.equal(framer.push(bytes, 0, bytes.length), bytes.length, name)
    const start = headerDigest ? 52 : 48
    const data = bytes.toString('hex', start, start + Number(fields.get('dataSegmentLength')))
    const wanted = [bytes.toString('hex', 0, 48), data, 'end'].filter((event) => event !== '')
    t.same(events, wanted, name)
  }
})

t.test('there is a vector of every PDU that the recorded programs send', async (t) => {
  const seen = new Set(vectors.map(({ fields }) => iscsi.opcodeName(Number(fields.get('opcode')))))
  const never = ['AsyncMessage', 'Reject', 'SnackRequest']
  t.same([...seen, ...never].sort(), Object.keys(iscsi.Opcode).sort())
  t.ok(vectors.some(({ headerDigest }) => headerDigest))
})
