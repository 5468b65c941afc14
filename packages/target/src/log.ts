/** Leveled logging: text for people or JSON lines for machines, one line for each event. */

export const logLevels = ['error', 'warn', 'info', 'debug'] as const
export type LogLevel = (typeof logLevels)[number]

/** What an event is about: small, flat values. */
export type LogFields = Readonly<Record<string, string | number | boolean | null>>

export interface Log {
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
}

export interface LogOptions {
  readonly level: LogLevel
  readonly json: boolean
  /** Takes one finished line, newline included. */
  readonly write: (line: string) => void
  readonly now?: () => Date
}

/** A log that writes events of `level` and worse. */
export function createLog({ level, json, write, now = () => new Date() }: LogOptions): Log {
  const most = logLevels.indexOf(level)
  const at =
    (severity: LogLevel) =>
    (message: string, fields: LogFields = {}) => {
      if (logLevels.indexOf(severity) > most) return
      const time = now().toISOString()
      write(
        json
          ? `${JSON.stringify({ time, level: severity, message, ...fields })}\n`
          : `${time} ${severity.padEnd(5)} ${message}${formatFields(fields)}\n`,
      )
    }
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') }
}

/** Drops everything. */
export const silentLog: Log = createLog({ level: 'error', json: false, write: () => {} })

function formatFields(fields: LogFields): string {
  return Object.entries(fields)
    .map(([key, value]) => {
      const text = String(value)
      return ` ${key}=${/^[\w.:/[\]@-]+$/.test(text) ? text : JSON.stringify(text)}`
    })
    .join('')
}
