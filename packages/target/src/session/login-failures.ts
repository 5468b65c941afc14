/**
 * Hosts that fail to authenticate, by the address that they come from: after a few failures the logins of
 * that address go one after another, with a pause between; those of others are as fast as ever.
 */

export interface LoginFailureLimits {
  /** Failures of an address before its logins are slowed down. */
  readonly freeFailures: number
  /** From then on there is one login of the address in so many ms. */
  readonly pauseMs: number
  /** A login that would have to wait for longer is refused; so there are not many that wait. */
  readonly waitMaxMs: number
  /** An address that has not failed for so long has never failed. */
  readonly forgetAfterMs: number
  /** Of more addresses than this, those whose failures are oldest are forgotten. */
  readonly addressesMax: number
}

export const defaultLoginFailureLimits: LoginFailureLimits = {
  freeFailures: 10,
  pauseMs: 1000,
  waitMaxMs: 8000,
  forgetAfterMs: 600_000,
  addressesMax: 1024,
}

export interface AddressFailures {
  /** An IPv4 address, or the first half of an IPv6 address, which is one network. */
  readonly address: string
  readonly count: number
  readonly lastMs: number
  /** Why the last login failed. */
  readonly detail: string
  readonly slowedDown: boolean
}

interface Failures {
  count: number
  lastMs: number
  detail: string
  /** When the next login may go on. */
  nextMs: number
}

export class LoginFailures {
  readonly #limits: LoginFailureLimits
  /** In the order of their last failures. */
  readonly #byAddress = new Map<string, Failures>()

  constructor(limits: LoginFailureLimits) {
    this.#limits = limits
  }

  /** For how many ms a login that begins now has to wait; undefined: for too long, it is to be refused. */
  begin(host: string, nowMs: number): number | undefined {
    this.#forget(nowMs)
    const failures = this.#byAddress.get(addressOf(host))
    if (failures === undefined || failures.count < this.#limits.freeFailures) return 0
    const dueMs = Math.max(failures.nextMs, nowMs)
    const waitMs = dueMs - nowMs
    if (waitMs > this.#limits.waitMaxMs) return undefined
    failures.nextMs = dueMs + this.#limits.pauseMs
    return waitMs
  }

  /** The host has failed to authenticate. Returns how often that address has by now. */
  failed(host: string, nowMs: number, detail: string): number {
    const address = addressOf(host)
    const before = this.#byAddress.get(address)
    const count = (before?.count ?? 0) + 1
    const nextMs = Math.max(before?.nextMs ?? 0, nowMs + this.#limits.pauseMs)
    this.#byAddress.delete(address)
    this.#byAddress.set(address, { count, lastMs: nowMs, detail, nextMs })
    this.#forget(nowMs)
    return count
  }

  /** Whether logins of this address have to wait. */
  slowsDown(host: string): boolean {
    const count = this.#byAddress.get(addressOf(host))?.count ?? 0
    return count >= this.#limits.freeFailures
  }

  /** The addresses that have failed, the latest last. */
  list(nowMs: number): AddressFailures[] {
    this.#forget(nowMs)
    return [...this.#byAddress].map(([address, { count, lastMs, detail }]) => {
      return { address, count, lastMs, detail, slowedDown: this.slowsDown(address) }
    })
  }

  #forget(nowMs: number): void {
    const { forgetAfterMs, addressesMax } = this.#limits
    for (const [address, { lastMs }] of this.#byAddress) {
      if (this.#byAddress.size <= addressesMax && nowMs - lastMs <= forgetAfterMs) return
      this.#byAddress.delete(address)
    }
  }
}

/** What counts as one address: a host of IPv6 has a whole network of 2^64 to choose from. */
function addressOf(host: string): string {
  const plain = host.replace(/^::ffff:(?=\d+\.)/i, '')
  if (!plain.includes(':') || plain.endsWith('::/64')) return plain
  const [head = '', tail] = plain.toLowerCase().split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':'))
  const [front, back] = [groups(head), groups(tail ?? '')]
  const zeros = Array<string>(Math.max(8 - front.length - back.length, 0)).fill('0')
  const network = [...front, ...(tail === undefined ? [] : zeros), ...back].slice(0, 4)
  return `${network.join(':')}::/64`
}
