#!/usr/bin/env node
'use strict'

// A disk that hangs keeps up to 8 threads of libuv's pool (raid/timed-volume.ts), and there must be some left for
// the others: 4, the default, are not enough for one such disk. The size counts if it is set before the pool is
// first used, which the loader of ES modules does: hence CommonJS.
process.env.UV_THREADPOOL_SIZE ??= '32'

void import('../dist/cli.js').then(async ({ run }) => {
  process.exitCode = await run(process.argv.slice(2))
})
