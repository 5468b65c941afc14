/**
 * Agreement on operational parameters between an initiator and a target (RFC 7143 section 6.2): the
 * rules of keys.ts applied to what we want and what the peer says. Pure, and the same for both roles.
 */
import { ProtocolError } from './errors.ts'
import { type KeyDefinition, keyDefinition, keyDefinitions, type Role, type Stage } from './keys.ts'
import type {
  Digest,
  NegotiationPolicy,
  SessionParameters,
  TaskReporting,
} from './session-parameters.ts'
import { LoginStatus } from './status.ts'
import type { TextPair } from './text-codec.ts'
import { formatBoolean, parseBoolean, parseList, parseNumber } from './text-value.ts'

export interface NegotiationOptions {
  readonly role: Role
  readonly policy: NegotiationPolicy
  readonly sessionType: 'Normal' | 'Discovery'
  /** Whether this is the first connection of its session; only there are session-wide keys agreed. */
  readonly leading: boolean
}

/** Answers that are not values: the key keeps the value it had. */
const nonValues: ReadonlySet<string> = new Set(['Reject', 'Irrelevant', 'NotUnderstood'])
/** Of those, what no initiator is known to offer: it is a breach (RFC 7143 section 6.2). */
const notForOffers: ReadonlySet<string> = new Set(['Reject', 'NotUnderstood'])

/**
 * One negotiation, that of a login. Throws a ProtocolError where the peer breaks a rule that no answer
 * can mend; the negotiation is of no use afterwards.
 */
export class Negotiation {
  readonly #options: NegotiationOptions
  /** Keys the peer has sent: to send one twice is an error (RFC 7143 section 6.3). */
  readonly #received = new Map<string, string>()
  /** Keys that we have sent on our own account. */
  readonly #sent = new Map<string, string>()
  /** Of those, the ones that an answer is due to. */
  readonly #unanswered = new Set<string>()
  readonly #agreed = new Map<string, string>()

  /** Throws a RangeError for a policy that could never be agreed on. */
  constructor(options: NegotiationOptions) {
    checkPolicy(options.policy)
    this.#options = options
  }

  /** Whether the peer still owes an answer to what `offer` gave out. */
  get outstanding(): boolean {
    for (const name of this.#unanswered) {
      if (this.#unasked(name) === undefined) return true
    }
    return false
  }

  /** The value that the peer sent of a key, whatever it means; undefined if it sent none. */
  received(key: string): string | undefined {
    return this.#received.get(key)
  }

  /**
   * Takes one pair from the peer, sent in `stage`. Returns what to answer, or undefined when nothing
   * is due: the pair is an answer itself, or a declaration, or belongs to the authentication.
   */
  receive(key: string, value: string, stage: Stage): TextPair | undefined {
    const definition = keyDefinition(key)
    const repeatable = definition?.repeatable && this.#options.role === 'initiator'
    if (this.#received.has(key) && !repeatable) {
      throw broken(`text key ${key} came a second time`)
    }
    this.#received.set(key, value)
    if (this.#isAnswer(key, value)) {
      this.#unanswered.delete(key)
      if (value === 'NotUnderstood' && isForAllToNegotiate(definition)) {
        throw broken(`text key ${key} is not understood`)
      }
      if (!nonValues.has(value))
        this.#agreed.set(key, checkAnswer(definition, this.#sent.get(key), value))
      return undefined
    }
    if (definition === undefined) return [key, 'NotUnderstood']
    this.#checkAllowed(definition, stage)
    const answer = this.#answer(definition, value)
    return answer === undefined ? undefined : [key, answer]
  }

  /**
   * The keys that we want to send of our own accord and have not sent: for an initiator all that
   * matter, for a target its declarations and what its policy needs changed from the default. An
   * initiator asks when it enters the operational stage, a target when the initiator has said all it
   * has to say there; a key is given out once.
   */
  offer(): TextPair[] {
    const pairs: TextPair[] = []
    for (const definition of keyDefinitions) {
      const value = this.#offerOf(definition)
      if (value === undefined) continue
      const { name } = definition
      this.#sent.set(name, value)
      if (definition.rule.kind !== 'declarative') this.#unanswered.add(name)
      pairs.push([name, value])
    }
    return pairs
  }

  /** Notes that we send a declaration of our own, such as TargetAlias, which is not of the policy. */
  declare(key: string, value: string): TextPair {
    this.#sent.set(key, value)
    return [key, value]
  }

  /**
   * What is agreed, with defaults for the rest. On a connection that is not the leading one only what
   * belongs to the connection means something.
   */
  result(): SessionParameters {
    const { policy } = this.#options
    const maxBurstLength = this.#number('MaxBurstLength')
    const declared = this.#sent.has('MaxRecvDataSegmentLength')
    return {
      maxConnections: this.#number('MaxConnections'),
      initialR2T: this.#boolean('InitialR2T'),
      immediateData: this.#boolean('ImmediateData'),
      maxBurstLength,
      firstBurstLength: Math.min(this.#number('FirstBurstLength'), maxBurstLength),
      maxOutstandingR2T: this.#number('MaxOutstandingR2T'),
      defaultTime2Wait: this.#number('DefaultTime2Wait'),
      defaultTime2Retain: this.#number('DefaultTime2Retain'),
      dataPDUInOrder: this.#boolean('DataPDUInOrder'),
      dataSequenceInOrder: this.#boolean('DataSequenceInOrder'),
      errorRecoveryLevel: this.#number('ErrorRecoveryLevel'),
      taskReporting: this.#value('TaskReporting') as TaskReporting,
      iSCSIProtocolLevel: this.#number('iSCSIProtocolLevel'),
      headerDigest: this.#value('HeaderDigest') as Digest,
      dataDigest: this.#value('DataDigest') as Digest,
      maxRecvDataSegmentLength: declared
        ? policy.maxRecvDataSegmentLength
        : Number(keyDefinition('MaxRecvDataSegmentLength')?.defaultValue),
      peerMaxRecvDataSegmentLength: this.#number('MaxRecvDataSegmentLength'),
    }
  }

  #isAnswer(key: string, value: string): boolean {
    if (this.#unanswered.has(key)) return true
    // A peer that does not know a declaration of ours may say so.
    return this.#sent.has(key) && nonValues.has(value)
  }

  #checkAllowed({ name, senders, stages, leadingOnly, rule }: KeyDefinition, stage: Stage): void {
    const { role, leading } = this.#options
    const peer: Role = role === 'target' ? 'initiator' : 'target'
    if (!senders.includes(peer)) throw broken(`text key ${name} is not for the ${peer} to send`)
    if (!stages.includes(stage)) {
      throw broken(`text key ${name} came in the ${stage} stage, not in ${stages.join(' or ')}`)
    }
    // Declaring the session's type again, on a further connection, changes nothing.
    if (leadingOnly && !leading && rule.kind !== 'declarative') {
      throw broken(`text key ${name} is for the leading connection of a session only`)
    }
  }

  /** What to answer to a key that the peer sent first; agrees on it. */
  #answer(definition: KeyDefinition, value: string): string | undefined {
    const { name, rule } = definition
    switch (rule.kind) {
      case 'declarative':
        checkDeclaration(definition, value)
        this.#agreed.set(name, value)
        return undefined
      case 'authentication':
      case 'request':
        return undefined
      case 'obsolete':
        return rule.answer
      default:
        return this.#select(definition, value)
    }
  }

  #select(definition: KeyDefinition, offered: string): string {
    const { name, irrelevantInDiscovery } = definition
    if (notForOffers.has(offered)) throw broken(`text key ${name} came with an offer of ${offered}`)
    const discovery = this.#options.sessionType === 'Discovery'
    if ((irrelevantInDiscovery && discovery) || offered === 'Irrelevant') return 'Irrelevant'
    const selected = select(definition, offered, this.#bound(name))
    if (selected === undefined) return 'Reject'
    this.#agreed.set(name, selected)
    return selected
  }

  #offerOf(definition: KeyDefinition): string | undefined {
    const { name, defaultValue, leadingOnly, irrelevantInDiscovery, laterThanRfc3720, rule } =
      definition
    const { role, leading, sessionType } = this.#options
    const preference = this.#preference(name)
    if (preference === '' || this.#sent.has(name)) return undefined
    if (leadingOnly && !leading) return undefined
    if (irrelevantInDiscovery && sessionType === 'Discovery') return undefined
    if (rule.kind === 'declarative') return preference
    if (this.#received.has(name)) return undefined
    const best = select(definition, defaultValue as string, preference)
    const wanted = role === 'initiator' && !(laterThanRfc3720 && preference === defaultValue)
    return wanted || best !== defaultValue ? preference : undefined
  }

  /** Our own value of a negotiated key, as we would offer it; empty if it is not of our policy. */
  #preference(name: string): string {
    const { policy, sessionType } = this.#options
    const parameter = policyOf[name]
    if (parameter === undefined) return ''
    // A discovery session has nothing to recover (RFC 7143 section 7.4.1).
    if (name === 'ErrorRecoveryLevel' && sessionType === 'Discovery') return '0'
    const value = policy[parameter]
    if (typeof value === 'boolean') return formatBoolean(value)
    return typeof value === 'number' ? `${value}` : value.join(',')
  }

  /** Our preference under what is agreed already: a first burst is no longer than any (section 13.14). */
  #bound(name: string): string {
    const preference = this.#preference(name)
    if (name !== 'FirstBurstLength') return preference
    return `${Math.min(Number(preference), this.#number('MaxBurstLength'))}`
  }

  #value(name: string): string {
    return (
      this.#agreed.get(name) ?? this.#unasked(name) ?? (keyDefinition(name)?.defaultValue as string)
    )
  }

  /** An answer that need not be given when it can only be one (RFC 7143 section 6.2.2). */
  #unasked(name: string): string | undefined {
    const rule = keyDefinition(name)?.rule
    if (!this.#unanswered.has(name) || rule?.kind !== 'boolean') return undefined
    const offered = this.#sent.get(name)
    return offered === (rule.result === 'and' ? 'No' : 'Yes') ? offered : undefined
  }

  #number(name: string): number {
    return parseNumber(this.#value(name)) as number
  }

  #boolean(name: string): boolean {
    return this.#value(name) === 'Yes'
  }
}

const policyOf: { readonly [key: string]: keyof NegotiationPolicy | undefined } = {
  HeaderDigest: 'headerDigest',
  DataDigest: 'dataDigest',
  MaxRecvDataSegmentLength: 'maxRecvDataSegmentLength',
  MaxConnections: 'maxConnections',
  InitialR2T: 'initialR2T',
  ImmediateData: 'immediateData',
  MaxBurstLength: 'maxBurstLength',
  FirstBurstLength: 'firstBurstLength',
  DefaultTime2Wait: 'defaultTime2Wait',
  DefaultTime2Retain: 'defaultTime2Retain',
  MaxOutstandingR2T: 'maxOutstandingR2T',
  DataPDUInOrder: 'dataPDUInOrder',
  DataSequenceInOrder: 'dataSequenceInOrder',
  ErrorRecoveryLevel: 'errorRecoveryLevel',
  TaskReporting: 'taskReporting',
  iSCSIProtocolLevel: 'iSCSIProtocolLevel',
}

/** The value that follows from an offer and our preference by the key's rule; undefined if there is none. */
function select(definition: KeyDefinition, offered: string, ours: string): string | undefined {
  const { rule } = definition
  if (rule.kind === 'list') {
    const supported = ours.split(',')
    return parseList(offered)?.find((value) => supported.includes(value))
  }
  if (rule.kind === 'boolean') {
    const theirs = parseBoolean(offered)
    if (theirs === undefined) return undefined
    const mine = ours === 'Yes'
    return formatBoolean(rule.result === 'and' ? theirs && mine : theirs || mine)
  }
  if (rule.kind !== 'number') return undefined
  const theirs = parseNumber(offered)
  if (theirs === undefined || theirs < rule.range[0] || theirs > rule.range[1]) return undefined
  const better = rule.result === 'minimum' ? Math.min : Math.max
  return `${better(theirs, Number(ours))}`
}

/**
 * Every peer must know the keys of RFC 3720 (RFC 7143 section 6.2). Declarations are another matter: LIO says that it
 * does not understand SessionType on a further connection.
 */
function isForAllToNegotiate(definition: KeyDefinition | undefined): boolean {
  return definition?.laterThanRfc3720 === false && definition.rule.kind !== 'declarative'
}

/** An answer must be what the rule could have made of our offer: choosing it again changes nothing. */
function checkAnswer(
  definition: KeyDefinition | undefined,
  offered: string | undefined,
  answer: string,
): string {
  if (definition === undefined || offered === undefined) throw broken('an answer to no offer')
  const admissible =
    definition.rule.kind === 'list'
      ? offered.split(',').includes(answer)
      : isSame(select(definition, answer, offered), answer)
  if (!admissible) {
    throw broken(`${definition.name}=${answer} is no possible answer to the offer of ${offered}`)
  }
  return answer
}

function isSame(selected: string | undefined, answer: string): boolean {
  if (selected === undefined) return false
  return selected === answer || Number(selected) === parseNumber(answer)
}

function checkDeclaration({ name, rule }: KeyDefinition, value: string): void {
  if (rule.kind !== 'declarative') return
  if (rule.values !== undefined && !rule.values.includes(value)) {
    throw broken(`${name}=${value} is none of ${rule.values.join(', ')}`)
  }
  if (rule.range === undefined) return
  const [low, high] = rule.range
  const number = parseNumber(value)
  if (number === undefined || number < low || number > high) {
    throw broken(`${name}=${value} is not in the range of ${low} to ${high}`)
  }
}

function checkPolicy(policy: NegotiationPolicy): void {
  for (const { name, rule } of keyDefinitions) {
    const parameter = policyOf[name]
    if (parameter === undefined) continue
    const value = policy[parameter]
    const range = 'range' in rule ? rule.range : undefined
    const ok =
      typeof value === 'number'
        ? Number.isInteger(value) && range && value >= range[0] && value <= range[1]
        : typeof value === 'boolean' || value.length > 0
    if (!ok) throw new RangeError(`${parameter} is ${value}; wanted ${range?.join(' to ')}`)
  }
  if (policy.firstBurstLength > policy.maxBurstLength) {
    const { firstBurstLength, maxBurstLength } = policy
    throw new RangeError(
      `firstBurstLength ${firstBurstLength} exceeds maxBurstLength ${maxBurstLength}`,
    )
  }
}

function broken(message: string): ProtocolError {
  return new ProtocolError('negotiation', message, {
    kind: 'login',
    status: LoginStatus.InitiatorError,
  })
}
