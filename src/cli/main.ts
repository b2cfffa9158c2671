import { readFileSync } from 'node:fs'
import process from 'node:process'
import { Command, InvalidArgumentError, Option } from 'commander'
import { MAX_BROKERS } from '../core/options/broker-count.ts'
import { LOG_LEVELS } from '../core/options/log-level.ts'
import { printable } from '../core/printable.ts'
import { SamsaError } from '../core/samsa-error.ts'
import type { DumpOptions } from './dump-options.ts'
import type { HealthOptions } from './health.ts'
import type { ConfigOptions } from './load-config.ts'
import { reportFailure } from './failure.ts'
import type { RunOptions } from './run-command.ts'

const EXAMPLES = `
Examples:
  samsa                                  a broker on 127.0.0.1:9092, data in ./samsa-data
  samsa --set listeners=PLAINTEXT://:9092 --set log.dirs=/data
  samsa --run "npm test"                 a broker for one command, which finds it by KAFKA_BROKERS
  samsa --run "npm test" --brokers 3     the same with a cluster of three
  samsa health 127.0.0.1:9092            whether a broker answers there`

/** The command line. What a command needs is loaded when it runs, so that `samsa start` is quick. */
function createProgram(): Command {
  const program = new Command('samsa')
    .description('A Kafka broker for Node.js')
    .version(version(), '-v, --version')
    .showHelpAfterError('(samsa --help tells more)')
    .enablePositionalOptions()
    .helpCommand(false)
  const start = addStart(program)
  addHealth(program)
  addDumpLog(program)
  addMoveMetadata(program)
  addHelp(program)
  return program.addHelpText('after', () => optionsOf(start) + EXAMPLES)
}

function addStart(program: Command): Command {
  const start = program
    .command('start', { isDefault: true })
    .description('start a broker (the default command)')
    .option(
      '-s, --set <key=value>',
      'any key of server.properties; may be repeated, wins over all else',
      collectSetting,
    )
    .option(
      '-c, --config <file>',
      'a server.properties file; KAFKA_* environment variables win over it',
      once,
    )
    .option(
      '-r, --run <command>',
      'a broker on a free port with a temporary directory for as long as a command runs; the command is one argument, in quotes: --run "npm test"',
      once,
    )
    .option(
      '--brokers <count>',
      'with --run: a cluster of so many brokers, each on a port of its own',
      brokerCount,
    )
    .addOption(
      new Option('--io <mode>', 'how durable writes reach the device; default: auto').choices([
        'auto',
        'uring',
        'threads',
      ]),
    )
    .addOption(defaultsFile())
    .addOption(logLevel())
    .addOption(
      new Option('--log-format <format>', 'default: human on a terminal, else json').choices([
        'human',
        'json',
      ]),
    )
    .allowExcessArguments()
    .action(async (options: RunOptions & { run?: string }, command: Command) => {
      const [excess] = command.args
      // What is no command ends up here, as an argument of the default one.
      if (excess !== undefined) command.error(`error: ${await inWords(excess, program)}`)
      if (options.run?.trim() === '') throw new SamsaError('SAMSA_CONFIG', RUN_USAGE)
      if (options.run === undefined && options.brokers !== undefined)
        throw new SamsaError('SAMSA_CONFIG', BROKERS_USAGE)
      if (options.run === undefined) await (await import('./start.ts')).start(options)
      else await (await import('./run-command.ts')).runCommand(options.run, options)
    })
    .configureOutput({
      outputError: (text, write) => write(aboutRun(text, start)),
    })
  return start
}

function addHealth(program: Command): void {
  program
    .command('health')
    .description('ask a broker for its metadata; exit code 0 when it answers, else 1')
    .argument('[host:port]', 'where to ask; default: the listener of the configuration')
    .option('-b, --bootstrap-server <host:port>', 'the same')
    .option('-c, --config <file>', 'the server.properties file the broker was started with', once)
    .addOption(defaultsFile())
    .option('-t, --timeout <ms>', 'give up after this long', positiveInteger, 5000)
    .action(async (address: string | undefined, options: HealthOptions) =>
      (await import('./health.ts')).health(address, options),
    )
}

function addDumpLog(program: Command): void {
  program
    .command('dump-log')
    .description('print what is in the files of a partition: .log, .index, .timeindex, .snapshot and others')
    .argument('<files...>', 'files, or directories of partitions')
    .option('--deep-iteration', 'print the records of each batch')
    .option('--print-data-log', 'print keys and values of records too')
    .action(async (files: string[], options: DumpOptions) =>
      (await import('./dump-log.ts')).dumpLog(files, options),
    )
}

function addMoveMetadata(program: Command): void {
  program
    .command('move-metadata')
    .description(
      'bring topics and configurations of a broker that ran alone to ZooKeeper, so that others may join it',
    )
    .option('-s, --set <key=value>', 'any key of server.properties; may be repeated', collectSetting)
    .option('-c, --config <file>', 'the server.properties file of the broker, with zookeeper.connect', once)
    .addOption(defaultsFile())
    .action(async (options: ConfigOptions) => (await import('./move-metadata.ts')).moveMetadata(options))
}

/** The library's own shows the help of all for a command that does not exist. */
function addHelp(program: Command): void {
  program
    .command('help')
    .description('tell more about a command')
    .argument('[command]')
    .action(async (name: string | undefined, _options: object, command: Command) => {
      const found = name === undefined ? program : program.commands.find((each) => each.name() === name)
      if (found === undefined) command.error(`error: ${await inWords(name ?? '', program)}`)
      else found.outputHelp()
    })
}

/** The default command's options stand in the help of all: nobody looks for them elsewhere. */
function optionsOf(start: Command): string {
  const help = start.createHelp()
  const visible = help.visibleOptions(start).filter(({ long }) => long !== '--help')
  const width = Math.max(...visible.map(({ flags }) => flags.length))
  help.prepareContext({ helpWidth: process.stdout.columns || 80 })
  const lines = visible.map((option) =>
    help.formatItem(option.flags, width, help.optionDescription(option), help),
  )
  return `\nOptions of a broker:\n${lines.join('\n')}\n`
}

const RUN_USAGE = 'the command of --run must be one argument, in quotes: samsa --run "npm test"'

const BROKERS_USAGE =
  '--brokers goes with --run: samsa --run "npm test" --brokers 3. A cluster that stays is one samsa start for each broker, with zookeeper.connect'

/** An error in other words where the command of --run is missing, or stands there without quotes. */
function aboutRun(text: string, start: Command): string {
  const run: unknown = start.getOptionValue('run')
  if (/'-r, --run .* missing/.test(text) || (run !== undefined && /unknown command/.test(text)))
    return `samsa: ${RUN_USAGE}\n`
  // `--run ls -la`: options of the command look like ours.
  return typeof run === 'string' && !/\s/.test(run) ? `${text}samsa: ${RUN_USAGE}\n` : text
}

/** What is wrong with a word that is no command, or not where commands stand. */
async function inWords(word: string, program: Command): Promise<string> {
  const names = program.commands.map((each) => each.name())
  if (names.includes(word)) return `the command stands before its options: samsa ${word} ...`
  const { didYouMean } = await import('../core/options/suggestion.ts')
  return `unknown command '${printable(word)}'${didYouMean(word, names)}`
}

/** For images: what they bring must not count as something that the user set. */
function defaultsFile(): Option {
  return new Option('--defaults <file>', 'a server.properties file that all else wins over').hideHelp()
}

function logLevel(): Option {
  return new Option('-l, --log-level <level>', 'default: info, with --run warn').choices(LOG_LEVELS)
}

function collectSetting(text: string, settings: [string, string][] = []): [string, string][] {
  const at = text.indexOf('=')
  // Not what was given: it may be a password.
  if (at <= 0) throw new SamsaError('SAMSA_CONFIG', '--set must be given key=value')
  return [...settings, [text.slice(0, at).trim(), text.slice(at + 1)]]
}

/** Of two files, or two commands, one would have no effect. */
function once(text: string, earlier: string | undefined): string {
  if (earlier !== undefined) throw new InvalidArgumentError('It may be given once.')
  return text
}

function brokerCount(text: string): number {
  const count = /^[1-9][0-9]?$/.test(text) ? Number(text) : 0
  if (count < 1 || count > MAX_BROKERS)
    throw new InvalidArgumentError(`It must be a whole number from 1 to ${MAX_BROKERS}.`)
  return count
}

function positiveInteger(text: string): number {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number above 0.')
  return Number(text)
}

/** The package's version: its file is two folders up from the compiled code. */
function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? 'unknown'
}

createProgram()
  .parseAsync(process.argv)
  .catch((error: unknown) => {
    reportFailure(error)
    process.exit(1)
  })
