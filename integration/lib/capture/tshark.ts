/** tshark's view of a capture: for each frame the values of fields, and what it complains of. */
import { runOk } from '../command.ts'

/** A frame of a capture with data for or from the server, as tshark sees it. */
export interface DissectedFrame {
  /** For each field, its values in all PDUs that end in this frame, in their order; numbers in decimal. */
  readonly values: ReadonlyMap<string, readonly string[]>
  /** What tshark finds malformed or wrong in it. */
  readonly errors: string[]
  /** What its iSCSI and SCSI dissectors cannot make sense of, by what went before. */
  readonly warnings: readonly string[]
}

/** Stand between values, and occur in none. */
const separator = '\x1e'
/** tshark's severity of expert information: error, and warning (epan/proto.h). */
const Severity = { error: 0x800000, warning: 0x600000 } as const
/** Groups of expert information that tell of TCP: its windows, resets, and what the capture missed. */
const sequenceGroup = 0x02000000
const expert = ['_ws.malformed', '_ws.expert.severity', '_ws.expert.group', '_ws.expert.message']

/** Has tshark look at a capture file; the frames by their number, those without data left out. */
export async function dissect(
  file: string,
  ports: ReadonlySet<number>,
  fields: readonly string[],
): Promise<Map<number, DissectedFrame>> {
  const parameters = commonParameters(file, ports)
  const text = await runOk('tshark', [
    ...[...parameters, '-Y', 'tcp.len > 0', '-T', 'fields', '-E', `aggregator=${separator}`],
    ...['frame.number', ...expert, ...fields].flatMap((field) => ['-e', field]),
  ])
  const frames = new Map<number, DissectedFrame>()
  for (const line of text.split('\n').slice(0, -1)) {
    const [number = '', malformed = '', severity = '', group = '', message = '', ...shown] =
      line.split('\t')
    const expertSays = [severity, group, message]
    const errors = messagesOf(Severity.error, expertSays)
    if (malformed !== '') errors.push(`malformed: ${malformed.replaceAll(separator, ' ')}`)
    const values = new Map<string, readonly string[]>()
    for (const [index, value] of shown.entries()) {
      if (value !== '') values.set(fields[index] ?? '', value.split(separator).map(decimal))
    }
    const warnings = messagesOf(Severity.warning, expertSays)
    frames.set(Number(number), { values, errors, warnings })
  }
  if ([...frames.values()].some(hasDigest)) await addBadDigests(frames, parameters)
  return frames
}

function hasDigest({ values }: DissectedFrame): boolean {
  return values.has('iscsi.headerdigest32') || values.has('iscsi.datadigest32')
}

/** Adds what tshark says of digests that are wrong: it does so in its long output only. */
async function addBadDigests(
  frames: ReadonlyMap<number, DissectedFrame>,
  parameters: readonly string[],
): Promise<void> {
  const digests = 'iscsi.headerdigest32 || iscsi.datadigest32'
  const text = await runOk('tshark', [...parameters, '-Y', digests, '-V', '-O', 'iscsi'])
  let number = 0
  for (const line of text.split('\n')) {
    number = Number(/^Frame (\d+):/.exec(line)?.[1] ?? number)
    if (/Digest: .*\(Bad /.test(line)) frames.get(number)?.errors.push(line.trim())
  }
}

function commonParameters(file: string, ports: ReadonlySet<number>): string[] {
  return [
    ...['-n', '-r', file],
    ...[...ports].flatMap((port) => ['-d', `tcp.port==${port},iscsi`]),
    ...['-o', 'tcp.desegment_tcp_streams:TRUE', '-o', 'iscsi.desegment_iscsi_messages:TRUE'],
    // It takes long data segments for a sign that this is no PDU.
    ...['-o', 'iscsi.bogus_pdu_filter:FALSE'],
  ]
}

/** The messages of expert information of one severity, those that tell of TCP left out. */
function messagesOf(severity: number, line: readonly string[]): string[] {
  const [severities = [], groups = [], messages = []] = line.map((text) => text.split(separator))
  const wanted = (_: string, index: number) =>
    Number(severities[index]) === severity && Number(groups[index]) !== sequenceGroup
  return messages.filter(wanted)
}

/** One value in one way, whatever base tshark shows it in, and however its version shows a flag. */
function decimal(value: string): string {
  if (value === 'True') return '1'
  if (value === 'False') return '0'
  return /^0x[0-9a-f]+$/.test(value) ? String(Number(value)) : value
}
