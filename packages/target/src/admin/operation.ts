/** The shape of one admin operation; the nouns' files fill the table, server and client read it. */
import type { Static, TObject, TSchema } from 'typebox'
import type { TargetFacade } from './target-facade.ts'

/**
 * One thing the admin API can do. Properties of `input` that `path` names (`:name`) travel in the
 * URL; the others in the query of a GET or DELETE, and in the JSON body of any other method.
 */
export interface Operation<
  Method extends string = string,
  Input extends TObject = TObject,
  Output extends TSchema = TSchema,
> {
  readonly method: Method
  readonly path: string
  readonly summary: string
  readonly input: Input
  readonly output: Output
  readonly run: (
    target: TargetFacade,
    input: Static<Input>,
  ) => Static<Output> | Promise<Static<Output>>
}

/** Lets TypeScript infer an operation's input and output from its schemas. */
export function operation<
  Method extends 'GET' | 'POST' | 'PATCH' | 'DELETE',
  Input extends TObject,
  Output extends TSchema,
>(it: Operation<Method, Input, Output>): Operation<Method, Input, Output> {
  return it
}

/** The names of the inputs that an operation's URL carries. */
export function pathParameters(path: string): string[] {
  return [...path.matchAll(/:([A-Za-z]+)/g)].map((match) => match[1]!)
}

/** Whether an operation's other inputs travel in the query rather than in a body. */
export function sendsQuery(method: string): boolean {
  return method === 'GET' || method === 'DELETE'
}
