/**
 * The layers of ARCHITECTURE.md are kept apart by lint rules. Here each rule is held against imports
 * that it must refuse and imports that it must let pass: a rule that matches nothing would pass
 * everything, and nobody would notice.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import t from 'tap'
import { cleanUp, temporaryDirectory } from '../lib/cleanup.ts'
import { run } from '../lib/command.ts'
import { layerRules } from './layer-rules.ts'

const root = join(import.meta.dirname, '..', '..')
t.teardown(cleanUp)

/** Lints a copy of the tree's layout that holds one file for each import; answers with those refused. */
async function refusedImports(probes: ReadonlyMap<string, string>): Promise<Set<string>> {
  const folder = temporaryDirectory()
  const config = JSON.parse(readFileSync(join(root, 'biome.json'), 'utf8'))
  delete config.$schema
  delete config.vcs
  writeFileSync(join(folder, 'biome.json'), JSON.stringify(config))
  for (const [path, specifier] of probes) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), `import '${specifier}'\n`)
  }
  const biome = join(root, 'node_modules', '.bin', 'biome')
  const only = ['--only=style/noRestrictedImports', '--max-diagnostics=none', '--reporter=github']
  const { stdout, stderr } = await run(biome, ['lint', ...only, '.'], { cwd: folder })
  t.match(stdout + stderr, /noRestrictedImports/, 'biome ran and found something')
  const refused = stdout.matchAll(/noRestrictedImports,file=([^,]+)/g)
  return new Set([...refused].map(([, path]) => relative(folder, path ?? '')))
}

t.test('each layer is refused what it must not know, and nothing else', async (t) => {
  const probes = new Map<string, string>()
  const expected: { path: string; name: string; refused: boolean }[] = []
  for (const { folder, refuses, allows } of layerRules) {
    for (const [specifiers, refused] of [[refuses, true] as const, [allows, false] as const]) {
      for (const specifier of specifiers) {
        const path = `${folder}/probe-${probes.size}.ts`
        probes.set(path, specifier)
        const verb = refused ? 'is refused' : 'may import'
        expected.push({ path, name: `${folder} ${verb} ${specifier}`, refused })
      }
    }
  }
  const refusedPaths = await refusedImports(probes)
  for (const { path, name, refused } of expected) t.equal(refusedPaths.has(path), refused, name)
})
