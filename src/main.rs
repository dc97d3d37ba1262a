//! The command line: reads flags and the configuration, runs a server until it is told to stop.
//!
//! What goes wrong is one line on standard error and exit code 1; a mistake in the command line itself is clap's 2.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chronogate::config::deployment::ConfigFile;
use chronogate::config::{Config, Secret};
use chronogate::observe;
use chronogate::server::{Password, Running, Settings, check, copy, demo};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Planning recurses over deep expressions.
const STACK_BYTES: usize = 8 << 20;

/// A database that forgets nothing: versioned tables and SQL about the past over the PostgreSQL wire protocol.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the databases of a data directory.
    Serve(Serve),
    /// Verify a configuration against the live servers it names: what is there, what is missing, what is wrong.
    Check(Check),
    /// Copy all databases with all of their past into a new data directory. Interrupted, it goes on when it is run again.
    Copy(Copy),
    /// Serve a demo database: the European Central Bank's exchange rates since 1999.
    Demo(Demo),
}

#[derive(Args)]
struct Serve {
    /// JSON configuration; flags go before it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory [default: ./chronogate-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:5433]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Role that may do everything, made at first start [default: chronogate]
    #[arg(long, value_name = "NAME")]
    superuser: Option<String>,
    /// File with the superuser's password
    #[arg(long, value_name = "FILE")]
    superuser_password_file: Option<PathBuf>,
}

#[derive(Args)]
struct Check {
    /// JSON configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args)]
struct Copy {
    /// Data directory that no server has open, or the JSON configuration of a deployment
    #[arg(long, value_name = "DIR|FILE")]
    from: PathBuf,
    /// Data directory to make
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

#[derive(Args)]
struct Demo {
    /// Data directory of the demo
    #[arg(long, value_name = "DIR", default_value = demo::FOLDER)]
    data: PathBuf,
    /// Address to listen on [default: 127.0.0.1:5433]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("chronogate: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Serve(serve) => {
            let settings = serve.settings()?;
            within(serve_until_told(settings, false))
        }
        Command::Demo(demo) => {
            let settings = demo.settings()?;
            within(serve_until_told(settings, true))
        }
        Command::Check(check) => check.run(),
        Command::Copy(copy) => copy.run(),
    }
}

/// Runs something to its end.
fn within<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK_BYTES)
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(work)
}

impl Serve {
    fn settings(self) -> Result<Settings, String> {
        let (mut config, deployment) = match &self.config {
            Some(path) => match ConfigFile::read(path).map_err(|e| e.to_string())? {
                ConfigFile::Own(config) => (*config, None),
                ConfigFile::Deployment(deployment) => (deployment.own.clone(), Some(*deployment)),
            },
            None => (Config::default(), None),
        };
        config.listen.0 = self.listen.unwrap_or(config.listen.0);
        config.data.0 = self.data.unwrap_or(config.data.0);
        config.superuser.name = self.superuser.unwrap_or(config.superuser.name);
        config.superuser.password = self.superuser_password_file.map(Secret::File).or(config.superuser.password);
        let settings = settings(&config)?;
        if let Some(deployment) = &deployment {
            deployment.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        }
        Ok(Settings { deployment, ..settings })
    }
}

impl Check {
    /// Prints the table; an error when something in it will fail.
    fn run(self) -> Result<(), String> {
        let deployment = match ConfigFile::read(&self.config).map_err(|e| e.to_string())? {
            ConfigFile::Own(config) => {
                let settings = Settings::new(&config).map_err(|e| e.to_string())?;
                println!("ok  no deployment is configured: databases are files in {}", settings.data.display());
                return Ok(());
            }
            ConfigFile::Deployment(deployment) => *deployment,
        };
        let settings = Settings::new(&deployment.own).map_err(|e| e.to_string())?;
        within(async {
            let spinner = ProgressBar::new_spinner();
            spinner.enable_steady_tick(Duration::from_millis(100));
            let step = |subject: String| spinner.set_message(format!("looking at {subject}"));
            let facts = check::look(&deployment, &*settings.clock, &settings.entropy, &step).await;
            spinner.finish_and_clear();
            let report = check::Report::of(&deployment, &facts);
            print!("{report}");
            if report.is_sound() { Ok(()) } else { Err("the deployment has problems".to_owned()) }
        })
    }
}

impl Copy {
    /// Prints a line for each table; an error when there is no whole copy.
    fn run(self) -> Result<(), String> {
        let source = copy::Source::at(&self.from).map_err(|e| e.to_string())?;
        let bar = ProgressBar::no_length();
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}").map_err(|e| e.to_string())?;
        let step = |step: copy::Step<'_>| match step {
            copy::Step::Database { name, rows } => {
                bar.reset();
                match rows {
                    Some(rows) => {
                        bar.set_style(style.clone());
                        bar.set_length(rows);
                    }
                    None => bar.set_style(ProgressStyle::default_spinner()),
                }
                bar.set_message(name.to_owned());
            }
            copy::Step::Absent { name } => {
                let told =
                    format!("{name}: nothing of it is in this directory; a database that is kept in MongoDB is not copied");
                bar.suspend(|| eprintln!("{told}"));
            }
            copy::Step::Rows(rows) => bar.inc(rows),
            copy::Step::Comparing { name } => {
                bar.set_style(ProgressStyle::default_spinner());
                bar.set_message(format!("comparing {name}"));
            }
        };
        bar.enable_steady_tick(Duration::from_millis(100));
        let copied = within(async { copy::run(source, &self.to, &step).await.map_err(|e| e.to_string()) });
        bar.finish_and_clear();
        for copy::Copied { database, table, states, present, checksum, missing } in copied? {
            let lost = if missing == 0 { String::new() } else { format!(", {missing} of them without their payload") };
            println!("{database}.{table}: {states} states{lost}, {present} of the present, checksum {checksum}");
        }
        Ok(())
    }
}

impl Demo {
    fn settings(self) -> Result<Settings, String> {
        let mut config = Config::default();
        config.listen.0 = self.listen.unwrap_or(config.listen.0);
        config.data.0 = self.data;
        settings(&config)
    }
}

fn settings(config: &Config) -> Result<Settings, String> {
    observe::install(&config.log).map_err(|e| e.to_string())?;
    let settings = Settings::new(config).map_err(|e| e.to_string())?;
    match &settings.superuser_password {
        Some(Password(password)) if password.is_empty() => Err("the superuser's password is empty".to_owned()),
        _ => Ok(settings),
    }
}

async fn serve_until_told(settings: Settings, is_demo: bool) -> Result<(), String> {
    let mut signals = Signals::listen().map_err(|e| format!("cannot listen for signals: {e}"))?;
    let starting = async {
        if is_demo {
            demo::start(&settings).await.map_err(|e| e.to_string())
        } else {
            Running::start(&settings).await.map_err(|e| e.to_string())
        }
    };
    let running = tokio::select! {
        running = starting => running?,
        () = signals.next() => return Ok(()),
    };
    if is_demo {
        println!("{}", demo::welcome(running.address()));
    }
    signals.next().await;
    tracing::info!("stopping; another signal stops at once");
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(1);
    });
    running.stop().await.map_err(|error| format!("stopping failed: {}", error.message()))
}

/// SIGTERM and SIGINT, where there are such.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    #[cfg(not(unix))]
    fn listen() -> std::io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
