//! `windlass setup`: a page on this machine leads through the registration of the GitHub App, keeps
//! its credentials, and opens the first pull request with a `windlass.yaml`.
//!
//! - [`keep`]: where the credentials go
//! - [`pages`]: the page and what its buttons do
//! - [`first_pull`]: the first pull request of a repository

mod first_pull;
mod keep;
mod pages;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::github::registration::NewApp;
use crate::outgoing::{Outgoing, secure_url};
use crate::random;
use keep::Kept;

/// `windlass setup`.
#[derive(Debug, Clone, Args)]
pub struct SetupArgs {
    /// The address at which GitHub and CI will reach windlass, such as https://windlass.example.com
    #[arg(long, value_name = "URL", required_unless_present = "preview_only")]
    url: Option<String>,

    /// An App with the rights to preview and no others. Without --url it has no webhook: windlass
    /// asks GitHub for changes every half minute
    #[arg(long)]
    preview_only: bool,

    /// The organisation that owns the App (default: your own account)
    #[arg(long, value_name = "ORGANISATION")]
    organization: Option<String>,

    /// The App's name, which no other App on this GitHub has (default: windlass and six random
    /// digits)
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// GitHub's address; of an Enterprise Server: https://HOST
    #[arg(long, default_value = "https://github.com", value_name = "URL")]
    github: String,

    /// The folder that gets the credentials, each in a file that only you can read
    #[arg(long, default_value = "windlass-credentials", value_name = "FOLDER")]
    folder: PathBuf,

    /// Put the credentials into this Secret of your kubeconfig's cluster instead, as
    /// namespace/name; the chart and deploy/ use windlass/windlass
    #[arg(long, value_name = "NAMESPACE/NAME")]
    secret: Option<String>,

    /// File with the certificates of private authorities, in PEM form
    #[arg(long, env = "WINDLASS_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// Where the page is
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// What the page works on.
pub(crate) struct Setup {
    pub(crate) args: SetupArgs,
    /// The App's name.
    pub(crate) name: String,
    /// The page's own address.
    pub(crate) page: String,
    pub(crate) api_url: String,
    pub(crate) outgoing: Outgoing,
    keep: keep::Place,
    /// Known to our page alone: what it is sent has to have it.
    pub(crate) secret: String,
    /// Who has the address that the terminal printed has this: others of this machine have not.
    pub(crate) key: String,
    pub(crate) done: Mutex<Done>,
    stop: CancellationToken,
}

/// How far it is.
#[derive(Default)]
pub(crate) struct Done {
    /// Registered; GitHub hands out its credentials once.
    pub(crate) app: Option<NewApp>,
    pub(crate) kept: Option<Kept>,
    /// Addresses of the first pull requests, by repository; None: it needs none.
    pub(crate) pulls: Vec<(String, Option<String>)>,
    /// What went wrong last.
    pub(crate) error: Option<String>,
}

/// Serves the page until the person is done; what to do next.
pub async fn setup(args: SetupArgs) -> anyhow::Result<String> {
    let api_url = args.check()?;
    let outgoing = Outgoing::new(args.ca_file.as_deref())?;
    let keep = keep::Place::open(&args.folder, args.secret.as_deref()).await?;
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}", args.listen))?;
    let page = format!("http://{}", listener.local_addr()?);
    let digits = random::hexadecimal(3)?;
    let setup = Arc::new(Setup {
        name: args
            .name
            .clone()
            .unwrap_or_else(|| format!("windlass-{digits}")),
        outgoing,
        secret: random::hexadecimal(16)?,
        key: random::hexadecimal(16)?,
        stop: CancellationToken::new(),
        done: Mutex::default(),
        api_url,
        keep,
        page,
        args,
    });
    tell(format_args!(
        "Open {}/?key={} in a browser on this machine.",
        setup.page, setup.key
    ));
    let stop = setup.stop.clone();
    let serve = axum::serve(listener, pages::router(setup.clone()));
    tokio::select! {
        served = serve.with_graceful_shutdown(async move { stop.cancelled().await }) => served?,
        _ = tokio::signal::ctrl_c() => {}
    }
    let done = setup.done.lock().await;
    match (&done.app, &done.kept) {
        (Some(app), Some(kept)) => Ok(crate::view::set_up(&setup.next(&done, app, kept))),
        (Some(app), None) => bail!(
            "the App {} is registered, and its credentials could not be kept: generate a private key on {}",
            app.slug,
            app.html_url
        ),
        (None, _) => bail!("no App was registered"),
    }
}

impl SetupArgs {
    /// Checks what can be checked without a network; the API of that GitHub.
    fn check(&self) -> anyhow::Result<String> {
        if !self.listen.ip().is_loopback() {
            bail!(
                "--listen: the page hands out credentials, so it is on this machine alone (127.0.0.1)"
            );
        }
        if let Some(url) = &self.url {
            let url = secure_url("--url", url, "credentials")?;
            if url.path() != "/" {
                bail!(
                    "--url: leave the path {} out: GitHub will ask for /webhook there",
                    url.path()
                );
            }
        }
        let is_login = |name: &String| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if let Some(name) = self.organization.as_ref().filter(|name| !is_login(name)) {
            bail!("--organization: `{name}` is no name of an organisation on GitHub");
        }
        api_of(&self.github)
    }
}

impl Setup {
    /// What the person does next.
    pub(crate) fn next(&self, done: &Done, app: &NewApp, kept: &Kept) -> crate::view::NextSteps {
        crate::view::NextSteps {
            app_id: app.id,
            folder: kept.folder.clone(),
            secret: kept.secret.clone(),
            names: kept.names.clone(),
            api_url: self.api_url.clone(),
            url: self.args.url.clone(),
            preview_only: self.args.preview_only,
            repository: done.pulls.first().map(|(repo, _)| repo.clone()),
        }
    }

    /// Where GitHub takes manifests.
    pub(crate) fn registration(&self) -> String {
        let github = self.args.github.trim_end_matches('/');
        let state = &self.secret;
        match &self.args.organization {
            Some(name) => format!("{github}/organizations/{name}/settings/apps/new?state={state}"),
            None => format!("{github}/settings/apps/new?state={state}"),
        }
    }
}

/// A line for the terminal.
pub(crate) fn tell(line: std::fmt::Arguments<'_>) {
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The API of a GitHub.
fn api_of(github: &str) -> anyhow::Result<String> {
    let url = secure_url("--github", github, "credentials")?;
    Ok(match url.host_str().unwrap_or_default() {
        "github.com" => "https://api.github.com".into(),
        host if host.ends_with(".ghe.com") => format!("https://api.{host}"),
        _ => format!("{}/api/v3", github.trim_end_matches('/')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_github_has_its_api() {
        for (github, api) in [
            ("https://github.com", "https://api.github.com"),
            ("https://acme.ghe.com/", "https://api.acme.ghe.com"),
            ("https://git.corp", "https://git.corp/api/v3"),
            ("http://127.0.0.1:80", "http://127.0.0.1:80/api/v3"),
        ] {
            assert_eq!(api_of(github).unwrap(), api);
        }
        assert!(api_of("http://git.corp").is_err());
        assert!(api_of("git.corp").is_err());
    }
}
