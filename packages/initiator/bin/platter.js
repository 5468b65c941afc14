#!/usr/bin/env node
import { run } from '../dist/cli.js'

// fuse-native's handles outlive its mount, and would keep the process from ending by itself.
process.exit(await run(process.argv.slice(2)))
