/** LIO in a guest: the Linux kernel's own target, set up through configfs. */
import type { Guest } from './guest.ts'

/** A CHAP user, and its secret. */
interface Account {
  readonly user: string
  readonly secret: string
}

export interface LioOptions {
  /** Where it listens, as 10.0.0.2:3260. */
  readonly portal: string
  /** The one initiator that is let in. */
  readonly initiatorName: string
  /** What that initiator must show, in discovery too. */
  readonly host: Account
}

const megabytes = 8
const pageBytes = 4096
const root = '/sys/kernel/config/target'
const targetName = 'iqn.2026-11.org.platter:lio'
const portalGroup = `${root}/iscsi/${targetName}/tpgt_1`

export class Lio {
  readonly portal: string
  readonly sizeBytes = megabytes * 2 ** 20
  readonly #guest: Guest
  readonly #acl: string
  /** Where there are accounts: of the initiator, and of discovery. */
  readonly #accounts: readonly string[]

  private constructor(guest: Guest, { portal, initiatorName }: LioOptions) {
    this.portal = portal
    this.#guest = guest
    this.#acl = `${portalGroup}/acls/${initiatorName}`
    this.#accounts = [`${this.#acl}/auth`, `${root}/iscsi/discovery_auth`]
  }

  /** Starts it, with one LUN in memory. It ends with the guest. */
  static async start(guest: Guest, options: LioOptions): Promise<Lio> {
    const { portal, initiatorName, host } = options
    const disk = `${root}/core/rd_mcp_0/disk`
    const acl = `${portalGroup}/acls/${initiatorName}`
    await guest.runOk(
      [
        'mount -t configfs configfs /sys/kernel/config',
        `mkdir -p ${disk} ${portalGroup}/np/${portal} ${portalGroup}/lun/lun_0`,
        `echo rd_pages=${(megabytes * 2 ** 20) / pageBytes} >${disk}/control`,
        `echo 1 >${disk}/enable`,
        `ln -s ${disk} ${portalGroup}/lun/lun_0/disk`,
        `mkdir -p ${acl}/lun_0`,
        `ln -s ${portalGroup}/lun/lun_0 ${acl}/lun_0/lun`,
      ].join(' && '),
    )
    const lio = new Lio(guest, options)
    await lio.#setAccount('', host)
    await guest.runOk(
      [
        `echo 1 >${root}/iscsi/discovery_auth/enforce_discovery_auth`,
        `echo 1 >${portalGroup}/attrib/authentication`,
        `echo 1 >${portalGroup}/enable`,
      ].join(' && '),
    )
    return lio
  }

  /** From now on it shows this to the initiator, which must ask for it. */
  async show(account: Account): Promise<void> {
    await this.#setAccount('_mutual', account)
  }

  /** How many connections a session may have from now on. */
  async allowConnections(count: number): Promise<void> {
    await this.#guest.runOk(`echo ${count} >${portalGroup}/param/MaxConnections`)
  }

  /** How many the initiator's session has; of several sessions LIO tells of one. */
  async connections(): Promise<number> {
    const info = await this.#guest.runOk(`cat ${this.#acl}/info`)
    return info.match(/^CID: /gm)?.length ?? 0
  }

  async #setAccount(suffix: string, { user, secret }: Account): Promise<void> {
    const writes = this.#accounts.flatMap((folder) => [
      `printf %s '${user}' >${folder}/userid${suffix}`,
      `printf %s '${secret}' >${folder}/password${suffix}`,
    ])
    await this.#guest.runOk(writes.join(' && '))
  }
}
