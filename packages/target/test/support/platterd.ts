/** platterd as bin/platterd.js runs it, from the sources. */
import { run } from '../../src/cli.ts'

process.exit(await run(process.argv.slice(2)))
