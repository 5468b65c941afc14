/**
 * The traffic of the servers that a test file starts: captured while its tests run, and held against
 * tshark by one more test after the last of them. Only what tap runs is captured; a benchmark is not.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync } from 'node:fs'
import { basename, join } from 'node:path'
import t from 'tap'
import { temporaryDirectory } from '../cleanup.ts'
import { notRun } from '../not-run.ts'
import { checkCapture } from './check-capture.ts'
import { type CapturedPlace, TrafficCapture } from './traffic-capture.ts'

/** Where captures that fail are kept. */
const keptIn = join(import.meta.dirname, '..', '..', '.tap', 'captures')
const complaintsShownMax = 20

/** By network and ports: a server that is started again is captured already. */
const captures = new Map<string, Promise<TrafficCapture>>()
let lacks: readonly string[] | undefined
let whyMalformed: string | undefined

/**
 * Says that this test file sends PDUs that are malformed on purpose, and why. Its requests are then
 * held to nothing; what the target answers is checked as ever.
 */
export function sendsMalformedRequests(why: string): void {
  whyMalformed = why
}

/** Has what goes to and from these ports captured from now on, and checked. */
export async function watchTraffic(place: CapturedPlace): Promise<void> {
  if (lacks === undefined) {
    lacks = lackedForCaptures()
    t.on('idle', () => {
      if (captures.size > 0) addCheck([...captures.values()])
      captures.clear()
    })
    if (lacks.length > 0) t.test('the traffic passes tshark', notRun(lacks), () => {})
  }
  if (lacks.length > 0) return
  const name = `${place.network?.name ?? ''} ${place.ports}`
  const capture = captures.get(name) ?? TrafficCapture.start(place)
  captures.set(name, capture)
  await capture
}

/** What this machine lacks: programs, or the right to capture. */
function lackedForCaptures(): string[] {
  const tshark = spawnSync('tshark', ['--version'])
  if (tshark.error !== undefined) return ['the package tshark']
  const interfaces = spawnSync('dumpcap', ['-D'], { encoding: 'utf8' })
  return / any\b/.test(interfaces.stdout ?? '') ? [] : ['the right to capture (be root)']
}

function addCheck(started: readonly Promise<TrafficCapture>[]): void {
  const besides = whyMalformed === undefined ? '' : ` (responses only: ${whyMalformed})`
  t.test(`the traffic passes tshark${besides}`, { timeout: 300_000 }, async (t) => {
    const traffic = await Promise.all(started)
    await Promise.all(traffic.map((capture) => capture.stop()))
    const file = join(temporaryDirectory(), 'traffic.pcap')
    await TrafficCapture.write(file, traffic)
    const ports = new Set(traffic.flatMap(({ place }) => place.ports))
    const responsesOnly = whyMalformed !== undefined
    const report = await checkCapture(file, ports, { responsesOnly })
    const cut = traffic.reduce((sum, capture) => sum + capture.cut, 0)
    const dropped = traffic.reduce((sum, capture) => sum + capture.dropped, 0)
    t.comment(
      `${report.pdus} PDUs compared; ${cut} connections cut at their bound, ` +
        `${report.gaps} at a gap (${dropped} packets not captured)`,
    )
    t.ok(report.pdus > 0, 'PDUs were compared')
    for (const complaint of report.complaints.slice(0, complaintsShownMax)) t.fail(complaint)
    const { length } = report.complaints
    t.equal(length, 0, `nothing to complain of${length > 0 ? `; capture kept: ${keep(file)}` : ''}`)
  })
}

/** Keeps a capture for whoever looks into it; answers with its path. */
function keep(file: string): string {
  mkdirSync(keptIn, { recursive: true })
  const kept = join(keptIn, `${basename(process.argv[1] ?? 'test')}.pcap`)
  copyFileSync(file, kept)
  return kept
}
