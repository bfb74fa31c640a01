//! The command line.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::Ended;
use crate::config::{ServeArgs, optional, program, projects};
use crate::operate::Operate;
use crate::plan::{ImportArgs, InitArgs, PlanArgs, ValidateArgs};
use crate::rbac::RbacArgs;
use crate::render::jail::{self, JailArgs};
use crate::render::run::RenderArgs;
#[cfg(feature = "sandbox")]
use crate::sandbox::demo::DemoArgs;
use crate::setup::SetupArgs;
use crate::telemetry;
use crate::traces::Traces;

/// Hauls a change from a CI image build to a running cluster, through pull requests.
#[derive(Parser)]
#[command(name = "windlass", version, about, long_about = None, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the bot and the reconciler
    Serve(Box<ServeArgs>),
    /// Runs a demo on this machine, with a throw-away Kubernetes and a GitHub-like forge
    #[cfg(feature = "sandbox")]
    Demo(DemoArgs),
    /// Prints what a working copy of the config repository would change in the clusters. Exit code
    /// 0: no changes, 1: changes, 2: an error, or changes that cannot be applied
    Plan(Box<PlanArgs>),
    /// Writes a windlass.yaml for a working copy, from what the repository holds
    Init(InitArgs),
    /// Lets windlass apply what Argo CD or Flux applies: writes the entries into the windlass.yaml of a
    /// working copy, and says what would change in the clusters. Exit codes as of `plan`
    Import(Box<ImportArgs>),
    /// Checks the windlass.yaml of a working copy, and lists its applications
    Validate(ValidateArgs),
    /// Registers the GitHub App: a page on this machine leads through it, keeps its credentials, and
    /// opens the first pull request
    Setup(SetupArgs),
    /// Looks at what `windlass serve` stands on with these settings, and says what to mend. It
    /// changes nothing. Exit code 1: something has to be mended
    Doctor(Box<ServeArgs>),
    #[command(flatten)]
    Operate(Operate),
    /// Prints the custom resource definitions
    Crd,
    /// Prints the JSON schema of windlass.yaml, for editors and checks
    Schema,
    /// Prints a script that completes windlass's commands and flags in a shell:
    /// `source <(windlass completions bash)`
    Completions { shell: clap_complete::Shell },
    /// Writes manual pages into a folder
    Man { folder: PathBuf },
    /// Writes the pages of docs/reference into a folder
    #[command(hide = true)]
    Reference { folder: PathBuf },
    /// Prints exactly the roles and bindings that the projects of the server's settings need
    Rbac(RbacArgs),
    /// Becomes a renderer that can reach nothing but its own folder
    #[command(hide = true)]
    Jail(JailArgs),
    /// Renders manifests for a windlass in another container, over a socket. For kernels without
    /// Landlock
    Render(RenderArgs),
    /// Tries to get out of the jail
    #[command(hide = true)]
    Escape,
    /// Evaluates the validation rules of a definition, in the jail
    #[command(hide = true)]
    Rules { file: PathBuf },
}

pub fn main() -> ExitCode {
    let command = Cli::parse().command;
    // Before there is a second thread: what is taken away is taken from the whole process.
    match &command {
        Command::Jail(args) => return fail(&jail::enter(args)),
        Command::Rules { file } => return finish(crate::render::rules(file)),
        Command::Escape => return finish(Ok(jail::escape())),
        _ => {}
    }
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    let code = runtime.block_on(run(command));
    // Blocking work that is still going (a fetch, say) does not hold up the end.
    runtime.shutdown_background();
    code
}

async fn run(command: Command) -> ExitCode {
    let nothing = |()| String::new();
    finish(match command {
        Command::Serve(args) => serve(*args).await.map(nothing),
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => crate::sandbox::demo::demo(args).await.map(nothing),
        Command::Plan(args) => return plan(&args).await,
        Command::Doctor(args) => return finish_with(crate::doctor::doctor(&args).await),
        Command::Setup(args) => {
            let _ = telemetry::log_to_stderr("warn", telemetry::LogFormat::Text);
            crate::setup::setup(args).await
        }
        Command::Import(args) => return finish_with(crate::plan::import(&args).await),
        Command::Init(args) => crate::plan::init(&args),
        Command::Validate(args) => crate::plan::validate(&args),
        Command::Render(args) => render(args).await.map(nothing),
        Command::Operate(command) => return finish_with(crate::operate::operate(command).await),
        Command::Rbac(args) => projects(args.projects.as_deref(), &args.config_repositories, None)
            .and_then(|projects| crate::rbac::rbac(&projects, &args.namespace)),
        Command::Crd => Ok(crate::cluster::store::definitions()),
        Command::Schema => Ok(crate::reference::schema()),
        Command::Completions { shell } => Ok(completions(shell)),
        Command::Man { folder } => man(&folder).map(nothing),
        Command::Reference { folder } => reference(&folder).map(nothing),
        // They have ended before there was a second thread.
        Command::Jail(_) | Command::Escape | Command::Rules { .. } => Ok(String::new()),
    })
}

/// The command line's definition.
pub fn command() -> clap::Command {
    Cli::command()
}

fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "windlass", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

fn man(folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command(), folder))
        .with_context(|| format!("cannot write manual pages into {}", folder.display()))
}

fn reference(folder: &Path) -> anyhow::Result<()> {
    for (name, text) in crate::reference::pages() {
        std::fs::write(folder.join(name), text)
            .with_context(|| format!("cannot write {name} into {}", folder.display()))?;
    }
    Ok(())
}

async fn plan(args: &PlanArgs) -> ExitCode {
    let _ = telemetry::log_to_stderr("warn", telemetry::LogFormat::Text);
    match crate::plan::plan(args).await {
        Ok((text, code)) => {
            write_out(&text);
            code
        }
        Err(error) => {
            fail(&error);
            ExitCode::from(2)
        }
    }
}

async fn render(args: RenderArgs) -> anyhow::Result<()> {
    telemetry::log_to_stderr("info", telemetry::LogFormat::Text)?;
    end_with_parent();
    let programs = crate::render::Programs {
        kustomize: program("kustomize", &args.kustomize)?,
        helm: optional("helm", args.helm.as_ref())?,
        warm: optional("warm-renderer", args.warm_renderer.as_ref())?,
        launcher: Some(std::env::current_exe()?),
    };
    tokio::select! {
        ended = crate::render::run::serve(&args, programs) => ended,
        () = wait_for_signal() => Ok(()),
    }
}

/// Serves. When a kubeconfig changed, this program takes its own place: nothing of the time before
/// goes on then, and the pod is the same.
async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let settings = args.settings()?;
    let traces = args.traces.as_ref();
    let traces = traces.map(|endpoint| Traces::to(endpoint, &settings.outgoing));
    let traces = traces.transpose()?;
    telemetry::record(&args.log, args.log_format, traces.as_ref())?;
    let bind = async |address| {
        TcpListener::bind(address)
            .await
            .map_err(|error| anyhow::anyhow!("cannot listen on {address}: {error}"))
    };
    let (listener, metrics) = (
        bind(settings.listen).await?,
        bind(settings.metrics_listen).await?,
    );
    end_with_parent();
    let signalled = CancellationToken::new();
    let signal = signalled.clone();
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("stopping");
        signal.cancel();
    });
    let ended = crate::app::run(settings, listener, metrics, signalled.child_token()).await;
    if let Some(traces) = traces {
        traces.end();
    }
    let ended = ended?;
    if ended == Ended::Stopped || signalled.is_cancelled() {
        return Ok(());
    }
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let arguments = std::env::args_os().skip(1);
    let error = std::process::Command::new(program).args(arguments).exec();
    Err(error).context("cannot start again: start windlass anew")
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        // Unoptimized, one look takes more than the usual two megabytes.
        .thread_stack_size(8 << 20)
        .build()
}

/// With LIFELINE=stdin (the sandbox sets it) the process ends as soon as its standard input does:
/// it never outlives whoever holds the other end of the pipe, however that dies.
fn end_with_parent() {
    if std::env::var_os("LIFELINE").is_some_and(|value| value == "stdin") {
        std::thread::spawn(|| {
            let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
            std::process::exit(0);
        });
    }
}

/// SIGTERM or Ctrl-C.
pub async fn wait_for_signal() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// What a command prints goes to standard output; a reader that went away is no error.
pub fn write_out(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Prints what a command gave, or why it gave nothing.
fn finish(outcome: anyhow::Result<String>) -> ExitCode {
    finish_with(outcome.map(|text| (text, ExitCode::SUCCESS)))
}

/// The same for a command whose exit code says what it found.
fn finish_with(outcome: anyhow::Result<(String, ExitCode)>) -> ExitCode {
    match outcome {
        Ok((text, code)) => {
            write_out(&text);
            code
        }
        Err(error) => fail(&error),
    }
}

/// An error with its causes, each once; what a cluster says in its own words.
fn words(error: &anyhow::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain() {
        if let Some(of_cluster) = cause.downcast_ref::<kube::Error>() {
            causes.push(crate::cluster::words(of_cluster));
            break;
        }
        let cause = cause.to_string();
        // Many errors repeat their cause in their own text.
        if !causes.last().is_some_and(|last| last.ends_with(&cause)) {
            causes.push(cause);
        }
    }
    causes.join(": ")
}

fn fail(error: &anyhow::Error) -> ExitCode {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "windlass: {}", words(error));
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let cause = || anyhow::anyhow!("no such file");
        let repeated = cause().context("cannot read x: no such file");
        let repeated = repeated.context("cannot connect");
        assert_eq!(
            words(&repeated),
            "cannot connect: cannot read x: no such file"
        );
        assert_eq!(
            words(&cause().context("cannot read x")),
            "cannot read x: no such file"
        );
    }
}
