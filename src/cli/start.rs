//! Reads the command line and runs the command.

use std::fmt;
use std::io;
use std::process::ExitCode;

use clap::Parser;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::args::command_line::{Cli, Command};
use super::args::habits;
use super::args::refusal::Refusal;
use super::args::shared::OutputArgs;
use super::args::values::Progress;
use super::caller::docker::{self as plugin, Started};
use super::caller::shells;
use super::command::{
    build, clean, copy, digest, doctor, engines, images, init, inspect, join, plan, prune, schema, serve, shell, verify,
};
use super::input::settings::Settings;
use super::output::ending;
use super::output::files::Files;
use super::terminal::exit::INTERNAL;
use super::terminal::line::Line;
use super::terminal::style::{Color, Tone};
use super::terminal::{stderr, stdout, typed};

/// Runs the command that the user typed, and returns its exit code.
pub(crate) fn start() -> ExitCode {
    match shells::answer() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => error.exit(),
    }
    let (cli, docker) = match plugin::read(std::env::args_os()) {
        Started::Alone(words) => (Cli::try_parse_from(habits::words(words)), None),
        Started::ByDocker(words, docker) => {
            typed::by_docker();
            (plugin::parse(habits::words(words)), Some(docker))
        }
        Started::ForMetadata => return answered(plugin::metadata().map(|metadata| metadata.to_string() + "\n")),
        Started::ForCompletion(words) => {
            return answered(shells::for_docker(words).map(|candidates| candidates.join("\n") + "\n"));
        }
    };
    let cli = cli.unwrap_or_else(|error| habits::answered(error).exit());
    let mut settings = Settings::read(docker.as_deref());
    let is_verbose = cli.verbose || docker.is_some_and(|docker| docker.is_verbose());
    if is_verbose && settings.terminal.preferred == Progress::Auto {
        // Lines between the rows of a live view would tear them.
        settings.terminal.preferred = Progress::Plain;
    }
    // With `--progress json` or `quiet` no lines stand beside the events.
    if !matches!(cli.command.progress(), Some(Progress::Json | Progress::Quiet)) {
        log_to_stderr(if is_verbose { "polyarch=debug" } else { "polyarch=warn" }, settings.terminal.color);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            stderr::line(format!("error: cannot start: {error}"));
            stderr::flush();
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(run(&cli.command, &settings));
    // A thread that still reads a file for a stopped build must not delay the end of the process.
    runtime.shutdown_background();
    let code = ended.unwrap_or_else(|refusal| ending::refuse(&refusal, &settings));
    stderr::flush();
    code
}

/// Prints the answer to a program that started polyarch.
fn answered(answer: Result<String, impl Into<io::Error>>) -> ExitCode {
    let written = answer.map_err(|error| stdout::cannot_write("stdout", &error.into()));
    match written.and_then(|answer| stdout::exact(answer.as_bytes())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            stderr::failure(&failure, Color::Off);
            stderr::flush();
            ExitCode::from(INTERNAL)
        }
    }
}

async fn run(command: &Command, settings: &Settings) -> Result<ExitCode, Refusal> {
    match command {
        Command::Build(args) => {
            if let Some(refused) = unwritable(&args.output, settings) {
                return Ok(refused);
            }
            let ended = Box::pin(build::run(args, settings)).await;
            Ok(ended.unwrap_or_else(|refusal| ending::refuse_run(&refusal, &args.output, settings)))
        }
        Command::Join(args) => {
            if let Some(refused) = unwritable(&args.output, settings) {
                return Ok(refused);
            }
            let ended = join::run(args, settings).await;
            Ok(ended.unwrap_or_else(|refusal| ending::refuse_run(&refusal, &args.output, settings)))
        }
        Command::Copy(args) => {
            let ended = Box::pin(copy::run(args, settings)).await;
            Ok(ended.unwrap_or_else(|refusal| ending::refuse_run(&refusal, &args.output, settings)))
        }
        Command::Inspect(args) => inspect::run(args, settings).await,
        Command::Verify(args) => verify::run(args, settings).await,
        Command::Digest(args) => digest::run(args, settings).await,
        Command::Images(args) => images::run(args, settings).await,
        Command::Clean(args) => clean::run(args, settings).await,
        Command::Engines(args) => Box::pin(engines::run(args, settings)).await,
        Command::Doctor(args) => doctor::run(args, settings).await,
        Command::Init(args) => init::run(args, settings).await,
        Command::Plan(args) => plan::run(args, settings).await,
        Command::Schema(args) => schema::run(args),
        Command::Prune(args) => prune::run(args, settings).await,
        Command::Serve => serve::run(settings).await,
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
    }
}

/// Refuses a run if polyarch could not write the files that the user wants.
fn unwritable(output: &OutputArgs, settings: &Settings) -> Option<ExitCode> {
    let failures = Files::of(output, settings).check();
    (!failures.is_empty()).then(|| ending::refuse_files(failures, output, settings))
}

/// polyarch's own lines only. bollard and hyper log whole URLs, with build arguments, and no `RUST_LOG` shows them.
fn log_to_stderr(filter: &str, color: Color) {
    let log =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter)).with_writer(std::io::sink).with_ansi(false);
    log.event_format(LogLines(color)).init();
}

/// Formats logged lines like all other messages: `warning: …`.
struct LogLines(Color);

impl<S, N> FormatEvent<S, N> for LogLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, _out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (tone, label) = match *event.metadata().level() {
            Level::ERROR => (Tone::Error, "error:"),
            Level::DEBUG | Level::TRACE => (Tone::Faint, "debug:"),
            _ => (Tone::Warning, "warning:"),
        };
        let mut text = String::new();
        context.field_format().format_fields(Writer::new(&mut text), event)?;
        stderr::log(Line::new().toned(tone, label).then(format!(" {text}")), self.0);
        Ok(())
    }
}
