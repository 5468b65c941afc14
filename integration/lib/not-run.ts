/** A test that this machine cannot run says so and is not run; in CI, it fails. */

/** Options for `t.test`, if these things are missing here. */
export function notRun(lacks: readonly string[]): { skip: string | false } {
  if (lacks.length > 0 && process.env.CI !== undefined && process.env.CI !== 'false') {
    throw new Error(`this machine lacks ${lacks.join(', ')}, and in CI every test runs`)
  }
  return { skip: lacks.length > 0 && `needs ${lacks.join(', ')}` }
}
