/**
 * What neither Biome nor the compiler checks: how long files and functions are, names that say
 * nothing, notes left behind, paths of somebody's machine, and a lock file that suits every platform.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, extname, join, relative } from 'node:path'
import ts from 'typescript'
import { root } from './prerequisites.mjs'

const fileLinesMax = 400
const functionLinesMax = 70
const skippedFolders = new Set(['node_modules', 'dist', '.git', '.tap', '.turbo', '.platter'])
const code = new Set(['.ts', '.mjs', '.js', '.c'])
const text = new Set([...code, '.md', '.json', '.yaml', '.sh', ''])
const emptyName = /^(utils?|helpers?|managers?|common|misc)$/
const leftNote = /\b(?:TO{1}DO|FIX{1}ME|X{3}|HA{1}CK)\b/
const machinePath = /(?:^|[\s'"`(=:])\/(?:home|root|work|Users)\/\w/

/** @type {string[]} */
const complaints = []

for (const path of files(root)) {
  const name = relative(root, path)
  const words = name.split(/[/.]|(?<=[a-z])(?=[A-Z])|-/)
  const empty = words.find((word) => emptyName.test(word))
  if (empty !== undefined) complaints.push(`${name}: the name "${empty}" says nothing`)
  if (!text.has(extname(path)) || basename(path) === 'package-lock.json') continue
  checkText(name, readFileSync(path, 'utf8'))
}
checkLockFile()

for (const complaint of complaints) console.error(complaint)
process.exitCode = complaints.length === 0 ? 0 : 1

/**
 * @param {string} folder
 * @returns {Generator<string>}
 */
function* files(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isFile()) yield path
    if (entry.isDirectory() && !skippedFolders.has(entry.name)) yield* files(path)
  }
}

/**
 * @param {string} name path from the root
 * @param {string} content
 */
function checkText(name, content) {
  const lines = content.split('\n')
  for (const [index, line] of lines.entries()) {
    if (leftNote.test(line)) complaints.push(`${name}:${index + 1}: a note left behind`)
    if (machinePath.test(line)) complaints.push(`${name}:${index + 1}: a path of one machine`)
  }
  if (!code.has(extname(name))) return
  if (lines.length > fileLinesMax + 1 && !name.includes('/vectors/')) {
    complaints.push(`${name}: ${lines.length - 1} lines, wanted at most ${fileLinesMax}`)
  }
  const isTest = name.includes('/test/') || name.endsWith('.d.ts')
  if (extname(name) !== '.c' && !isTest) checkFunctions(name, content)
}

/**
 * @param {string} name
 * @param {string} content
 */
function checkFunctions(name, content) {
  const source = ts.createSourceFile(name, content, ts.ScriptTarget.Latest, true)
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (ts.isFunctionLike(node) && 'body' in node) {
      const first = source.getLineAndCharacterOfPosition(node.getStart()).line
      const lines = source.getLineAndCharacterOfPosition(node.getEnd()).line - first + 1
      if (lines > functionLinesMax) {
        const got = `a function of ${lines} lines, wanted at most ${functionLinesMax}`
        complaints.push(`${name}:${first + 1}: ${got}`)
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
}

/** `npm ci` refuses a lock file without the optional packages of platforms other than its writer's. */
function checkLockFile() {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  for (const entry of Object.values(lock.packages)) {
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (lock.packages[`node_modules/${name}`] !== undefined) continue
      complaints.push(`package-lock.json: no entry for the optional package ${name}`)
    }
  }
}
