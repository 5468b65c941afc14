import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import t from 'tap'
import { run } from '../src/cli.ts'
import { RecordingIo } from './support/cli-io.ts'

async function runCli(...args: string[]) {
  const io = new RecordingIo()
  const code = await run(args, io)
  return { code, stdout: io.stdout, stderr: io.stderr }
}

t.test('help teaches, and is no error', async (t) => {
  const { code, stdout } = await runCli('--help')
  t.equal(code, 0)
  t.match(stdout, /platter mount 192\.0\.2\.7 \/mnt\/san/)
  t.match(stdout, /Exit codes: 0 done/)
  t.equal((await runCli('mount', '--help')).code, 0)
  t.match((await runCli('--version')).stdout, /^\d+\.\d+\.\d+\n$/)
})

t.test('a command line that is not understood ends with 2, and says what was wanted', async (t) => {
  const cases: [string[], RegExp][] = [
    [['fly'], /unknown command 'fly'/],
    [['mount', '127.0.0.1'], /missing required argument 'directory'/],
    [['mount', '127.0.0.1:port', '/mnt'], /wanted HOST, HOST:PORT or \[IPV6\]:PORT/],
    [['mount', '127.0.0.1:99999', '/mnt'], /wanted HOST/],
    [['discover', '127.0.0.1', '--initiator-name', 'me'], /wanted an iSCSI name such as/],
    [['mount', '127.0.0.1', '/mnt', '--target', 'x'], /wanted an iSCSI name/],
    [['mount', '127.0.0.1', '/mnt', '--retry-for', '-1'], /wanted a number of seconds/],
    [['mount', '127.0.0.1,source=', '/mnt'], /got source=, wanted source=ADDRESS or weight=NUMBER/],
    [['mount', '127.0.0.1', '/mnt', '--portal', '127.0.0.2,weight=0'], /got weight=0, wanted/],
    [['mount', '127.0.0.1', '/mnt', '--connections', '0'], /wanted a number from 1 to 64/],
    [['mount', '127.0.0.1', '/mnt', '--split', '1X'], /wanted a size such as 65536, 256K or 1.5G/],
    [['mount', '127.0.0.1', '/mnt', '--path-timeout', '0.5'], /wanted a number of seconds from 1/],
    [
      ['mount', '127.0.0.1', '/mnt', '--multi', 'both'],
      /Allowed choices are connections, sessions/,
    ],
    [['mount', 'a=127.0.0.1', 'a=127.0.0.2', '/mnt'], /got two servers that are called a/],
    [['mount', '.a=127.0.0.1', '/mnt'], /got \.a as a server's name/],
    [['mount', '127.0.0.1', '127.0.0.2', '/mnt', '--portal', '127.0.0.3'], /write HOST\+HOST/],
    [['mount', '127.0.0.1', '127.0.0.2', '/mnt', '--target', 'iqn.2026-11.x:y'], /for one server/],
    [['mount', '127.0.0.1', '/mnt', '--layout', 'round'], /Allowed choices are flat, servers/],
    [['mount', '127.0.0.1', '/mnt', '--policy', 'best'], /Allowed choices are least-bytes, round-/],
    [['discover', '127.0.0.1', '--fast'], /unknown option '--fast'/],
    [['read', '127.0.0.1', 'image'], /got 127\.0\.0\.1, wanted HOST\[:PORT\]\/\[IQN\/\]NAME/],
    [['read', '127.0.0.1/a', 'image', '--depth', '0'], /wanted a number from 1 to 256/],
    [['write', '-', '127.0.0.1/a', '--block-size', '1000'], /wanted a multiple of 4K up to 64M/],
    [['copy', '127.0.0.1/a', '127.0.0.1/b', '--length', '0'], /wanted a size such as/],
    [
      ['copy', ...['127.0.0.1/a', '127.0.0.1/b', '--secret-file', '-', '--to-chap-user', 'me']],
      /standard input has one secret, for one end/,
    ],
  ]
  for (const [args, message] of cases) {
    const { code, stderr } = await runCli(...args)
    t.equal(code, 2, args.join(' '))
    t.match(stderr, message)
  }
})

t.test('a target that cannot be reached ends with 3', async (t) => {
  const port = await closedPort()
  const portal = `127.0.0.1:${port}`
  for (const args of [
    ['discover', portal],
    ['discover', portal, portal],
    ['mount', portal, '/nowhere'],
    ['read', `${portal}/scratch`, '-'],
    ['copy', `${portal}/scratch`, '127.0.0.1/scratch'],
  ]) {
    const { code, stderr } = await runCli(...args)
    t.equal(code, 3)
    t.match(stderr, new RegExp(`^platter: 127.0.0.1:${port}: connect ECONNREFUSED`))
  }
})

t.test('with --json an error is JSON', async (t) => {
  const port = await closedPort()
  const { stderr } = await runCli('discover', `127.0.0.1:${port}`, '--json')
  t.match(JSON.parse(stderr), { error: { code: 'unreachable', message: /ECONNREFUSED/ } })
})

t.test('what does not speak iSCSI is told apart from what is not there', async (t) => {
  const server = createServer((socket) => {
    socket.once('data', () =>
      socket.end(`HTTP/1.1 400 Bad Request\r\n${'x: y\r\n'.repeat(100)}\r\n`),
    )
  })
  const port = await listen(server)
  t.teardown(() => server.close())
  const { code, stderr } = await runCli('discover', `127.0.0.1:${port}`)
  t.match(
    { code, stderr },
    { code: 1, stderr: /^platter: .*does not keep to iSCSI: DataSegmentLength/ },
  )
})

t.test('only partitions of ours are unmounted', async (t) => {
  const proc = await runCli('unmount', '/proc')
  t.match(proc, { code: 1, stderr: /a file system of type proc mounted on it, not partitions/ })
  const nothing = await runCli('unmount', '/nowhere', '--json')
  t.match(JSON.parse(nothing.stderr), { error: { code: 'not-mounted' } })
})

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as { port: number }).port
}

async function closedPort(): Promise<number> {
  const server = createServer()
  const port = await listen(server)
  server.close()
  await once(server, 'close')
  return port
}
