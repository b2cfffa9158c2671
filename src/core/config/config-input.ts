/** Configuration as people write it: properties files and environment variables. */

/** Not configuration although they begin with KAFKA_: Kafka's scripts, its images, and what this broker exports itself. */
const FOREIGN_VARIABLES: ReadonlySet<string> = new Set([
  'KAFKA_BOOTSTRAP_SERVERS',
  'KAFKA_BROKERS',
  'KAFKA_DEBUG',
  'KAFKA_GC_LOG_OPTS',
  'KAFKA_HEAP_OPTS',
  'KAFKA_HOME',
  'KAFKA_JMX_HOSTNAME',
  'KAFKA_JMX_OPTS',
  'KAFKA_JMX_PORT',
  'KAFKA_JVM_PERFORMANCE_OPTS',
  'KAFKA_LOG4J_LOGGERS',
  'KAFKA_LOG4J_OPTS',
  'KAFKA_LOG4J_ROOT_LOGLEVEL',
  'KAFKA_OPTS',
  'KAFKA_TOOLS_LOG4J_LOGLEVEL',
  'KAFKA_USER',
  'KAFKA_VERSION',
  'KAFKA_ZOOKEEPER_CLIENT_CNXN_SOCKET',
])

/**
 * Keys from environment variables as Kafka's image maps them: `KAFKA_LOG_DIRS` is `log.dirs`, two underscores
 * are one, three are a dash. `KAFKA_CFG_` is another image's prefix for the same.
 */
export function configFromEnvironment(
  environment: Iterable<readonly [string, string | undefined]>,
): Map<string, string> {
  const values = new Map<string, string>()
  for (const [name, value] of environment) {
    if (value === undefined || FOREIGN_VARIABLES.has(name)) continue
    const prefix = ['KAFKA_CFG_', 'KAFKA_'].find((candidate) => name.startsWith(candidate))
    if (prefix === undefined) continue
    const rest = name.slice(prefix.length).toLowerCase()
    if (rest === '') continue
    const key = rest.replace(/_{1,3}/g, (run) => (run.length === 1 ? '.' : run.length === 2 ? '_' : '-'))
    values.set(key, value)
  }
  return values
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['t', '\t'],
  ['n', '\n'],
  ['r', '\r'],
  ['f', '\f'],
])

function unescape(text: string): string {
  return text.replace(/\\(?:u([0-9A-Fa-f]{4})|(.))/g, (_whole, unicode?: string, character?: string) =>
    unicode === undefined
      ? (ESCAPES.get(character!) ?? character!)
      : String.fromCharCode(parseInt(unicode, 16)),
  )
}

function logicalLines(text: string): string[] {
  const lines: string[] = []
  let open = ''
  for (const raw of text.split(/\r\n|\r|\n/)) {
    const line = raw.replace(/^[ \t\f]+/, '')
    if (open === '' && (line === '' || line.startsWith('#') || line.startsWith('!'))) continue
    const backslashes = /\\*$/.exec(line)![0].length
    if (backslashes % 2 === 1) {
      open += line.slice(0, -1)
      continue
    }
    lines.push(open + line)
    open = ''
  }
  if (open !== '') lines.push(open)
  return lines
}

/** Reads a Java properties file. The last of several values of a key wins, as in Java. */
export function parseProperties(text: string): Map<string, string> {
  const values = new Map<string, string>()
  for (const line of logicalLines(text)) {
    const match = /^((?:\\.|[^\\=: \t\f])*)[ \t\f]*(?:[=:][ \t\f]*)?(.*)$/.exec(line)
    if (match !== null) values.set(unescape(match[1]!), unescape(match[2]!).trim())
  }
  return values
}
