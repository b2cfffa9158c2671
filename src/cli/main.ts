import { readFileSync } from 'node:fs'
import process from 'node:process'
import { Command, InvalidArgumentError, Option } from 'commander'
import { SamsaError } from '../core/samsa-error.ts'
import type { DumpOptions } from './dump-options.ts'
import type { HealthOptions } from './health.ts'
import { reportFailure } from './failure.ts'
import type { StartOptions } from './start.ts'

const EXAMPLES = `
Examples:
  samsa                                  a broker on 127.0.0.1:9092, data in ./samsa-data
  samsa --set listeners=PLAINTEXT://:9092 --set log.dirs=/data
  samsa --run "npm test"                 a broker for one command, which finds it by KAFKA_BROKERS
  samsa start --help                     all options of a broker`

/** The command line. What a command needs is loaded when it runs, so that `samsa start` is quick. */
function createProgram(): Command {
  const program = new Command('samsa')
    .description('A Kafka broker for Node.js')
    .version(version(), '-v, --version')
    .showHelpAfterError('(samsa --help tells more)')
    .enablePositionalOptions()
    .addHelpText('after', EXAMPLES)
  program
    .command('start', { isDefault: true })
    .description('start a broker (the default command)')
    .option(
      '-s, --set <key=value>',
      'any key of server.properties; may be repeated, wins over all else',
      collectSetting,
    )
    .option('-c, --config <file>', 'a server.properties file; KAFKA_* environment variables win over it')
    .option(
      '-r, --run <command>',
      'start on a free port with a temporary directory, run the command, stop with it',
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
    .action(async (options: StartOptions & { run?: string }, command: Command) => {
      // What is no command ends up here, as an argument of the default one.
      if (command.args.length > 0) command.error(`error: unknown command '${command.args[0]}'`)
      if (options.run?.trim() === '') throw new SamsaError('SAMSA_CONFIG', '--run must be given a command')
      if (options.run === undefined) await (await import('./start.ts')).start(options)
      else await (await import('./run-command.ts')).runCommand(options.run, options)
    })
  program
    .command('health')
    .description('ask a broker for its metadata; exit code 0 when it answers')
    .option('-b, --bootstrap-server <host:port>', 'default: the listener of the configuration')
    .option('-c, --config <file>', 'the server.properties file the broker was started with')
    .addOption(defaultsFile())
    .option('-t, --timeout <ms>', 'give up after this long', positiveInteger, 5000)
    .action(async (options: HealthOptions) => (await import('./health.ts')).health(options))
  program
    .command('dump-log')
    .description('print what is in the files of a partition: .log, .index, .timeindex, .snapshot and others')
    .argument('<files...>', 'files, or directories of partitions')
    .option('--deep-iteration', 'print the records of each batch')
    .option('--print-data-log', 'print keys and values of records too')
    .action(async (files: string[], options: DumpOptions) =>
      (await import('./dump-log.ts')).dumpLog(files, options),
    )
  return program
}

/** For images: what they bring must not count as something that the user set. */
function defaultsFile(): Option {
  return new Option('--defaults <file>', 'a server.properties file that all else wins over').hideHelp()
}

function logLevel(): Option {
  return new Option('-l, --log-level <level>', 'default: info, with --run warn').choices([
    'debug',
    'info',
    'warn',
    'error',
    'silent',
  ])
}

function collectSetting(text: string, settings: [string, string][] = []): [string, string][] {
  const at = text.indexOf('=')
  // Not what was given: it may be a password.
  if (at <= 0) throw new SamsaError('SAMSA_CONFIG', '--set must be given key=value')
  return [...settings, [text.slice(0, at).trim(), text.slice(at + 1)]]
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
