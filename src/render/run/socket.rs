//! A renderer in a container of its own, over a socket: the client, and the server
//! `windlass render`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::{Job, Program, Programs, Runner, Trouble, Trust};
use crate::domain::catalog::is_own;

/// The most bytes of a request or an answer.
const MOST_MESSAGE: u64 = 96 << 20;
/// How long the client waits until the renderer listens.
const STARTING: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
struct Request {
    program: Program,
    arguments: Vec<String>,
    /// Path → content in base64.
    files: BTreeMap<String, String>,
    #[serde(default)]
    links: BTreeMap<String, String>,
    trust: Trust,
    /// Milliseconds.
    most: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    /// Milliseconds.
    pub(super) took: u64,
    pub(super) printed: Result<String, Trouble>,
}

pub(super) async fn request(socket: &Path, job: &Job) -> anyhow::Result<Answer> {
    let since = Instant::now();
    let mut stream = loop {
        match UnixStream::connect(socket).await {
            Ok(stream) => break stream,
            // Its container may just be starting.
            Err(_) if since.elapsed() < STARTING => {
                tokio::time::sleep(Duration::from_millis(200)).await
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("no renderer listens at {}", socket.display()));
            }
        }
    };
    let files = job
        .files
        .iter()
        .map(|(path, content)| (path.clone(), BASE64.encode(content)))
        .collect();
    let request = Request {
        program: job.program,
        arguments: job.arguments.clone(),
        files,
        links: job.links.clone(),
        trust: job.trust.clone(),
        most: job.most.as_millis() as u64,
    };
    send(&mut stream, &request).await?;
    receive(&mut stream)
        .await
        .context("the renderer's container")
}

/// A message: its length in eight bytes, little end first, and JSON.
async fn send(stream: &mut UnixStream, message: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_vec(message)?;
    stream.write_u64_le(text.len() as u64).await?;
    stream.write_all(&text).await?;
    Ok(stream.flush().await?)
}

async fn receive<T: serde::de::DeserializeOwned>(stream: &mut UnixStream) -> anyhow::Result<T> {
    let length = stream.read_u64_le().await?;
    anyhow::ensure!(
        length <= MOST_MESSAGE,
        "a message of {length} bytes is too long"
    );
    let mut text = Vec::new();
    stream.take(length).read_to_end(&mut text).await?;
    Ok(serde_json::from_slice(&text)?)
}

/// `windlass render`
#[derive(Debug, Clone, clap::Args)]
pub struct RenderArgs {
    /// The socket to listen on, in a folder shared with windlass's container
    #[arg(long, value_name = "FILE")]
    socket: PathBuf,

    /// The kustomize program
    #[arg(
        long,
        env = "WINDLASS_KUSTOMIZE",
        default_value = "kustomize",
        value_name = "PROGRAM"
    )]
    pub kustomize: PathBuf,

    /// The helm program; without it charts are not rendered
    #[arg(long, env = "WINDLASS_HELM", value_name = "PROGRAM")]
    pub helm: Option<PathBuf>,

    /// windlass-renderer: kustomize and helm in one program that goes on running between
    /// renderings, which saves each its start. Without it those two are started for each
    #[arg(long, env = "WINDLASS_WARM_RENDERER", value_name = "PROGRAM")]
    pub warm_renderer: Option<PathBuf>,

    /// Folder for the temporary files of renderings
    #[arg(long, default_value = "/tmp", value_name = "FOLDER")]
    work: PathBuf,
}

/// Renders what windlass sends, until it is stopped. Its container has no token and no network, so
/// a renderer that escaped from its jail could reach nothing.
pub async fn serve(args: &RenderArgs, programs: Programs) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(&args.socket);
    let listener = UnixListener::bind(&args.socket)
        .with_context(|| format!("cannot listen at {}", args.socket.display()))?;
    let runner = Arc::new(Runner::local(programs, args.work.clone())?);
    tracing::info!(socket = %args.socket.display(), "rendering");
    loop {
        let (stream, _) = listener.accept().await?;
        let runner = runner.clone();
        tokio::spawn(async move {
            if let Err(error) = answer(stream, &runner).await {
                tracing::warn!(%error, "a rendering was not answered");
            }
        });
    }
}

/// Only paths inside the folder: the client is not trusted either.
fn is_inside(path: &str) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..");
    !path.starts_with('/') && path.split('/').all(is_name)
}

async fn answer(mut stream: UnixStream, runner: &Runner) -> anyhow::Result<()> {
    let Request {
        program,
        arguments,
        files,
        links,
        trust,
        most,
    } = receive(&mut stream).await?;
    let files = files.into_iter().map(|(path, content)| {
        anyhow::ensure!(is_inside(&path), "`{path}` is not a file of a rendering");
        Ok((path, Arc::<[u8]>::from(BASE64.decode(content)?)))
    });
    for (path, to) in &links {
        let passes = |place: &str| {
            links
                .keys()
                .any(|link| link != place && is_own(link, place))
        };
        let valid = is_inside(path) && (to.is_empty() || is_inside(to));
        anyhow::ensure!(
            valid && !passes(path) && !passes(to) && !links.contains_key(to),
            "`{path}` is not a link of a rendering"
        );
    }
    let job = Job {
        program,
        arguments,
        files: files.collect::<anyhow::Result<_>>()?,
        links,
        trust,
        most: Duration::from_millis(most),
    };
    let (took, printed) = runner.run(&job).await;
    let answer = Answer {
        took: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        printed,
    };
    send(&mut stream, &answer).await
}
