//! Server settings: as given by flags and environment, then checked into a form
//! that can be used. What is missing is named together with where to get it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::SecretString;

use crate::domain::RepoName;
use crate::domain::fence::{Project, Projects, ServiceAccount};
use crate::domain::mask::Mask;
use crate::domain::seal::Seal;
use crate::github::AppCredentials;
use crate::telemetry::LogFormat;

/// `windlass serve`: every flag has an environment variable.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// The GitHub App's id (the App's settings page, "App ID")
    #[arg(long, env = "WINDLASS_GITHUB_APP_ID")]
    pub github_app_id: Option<u64>,

    /// File with the App's private key in PEM form (settings page, "Generate a private key")
    #[arg(long, env = "WINDLASS_GITHUB_PRIVATE_KEY_FILE", value_name = "FILE")]
    pub github_private_key_file: Option<PathBuf>,

    /// File with the App's webhook secret; two lines while it is being rotated
    #[arg(long, env = "WINDLASS_GITHUB_WEBHOOK_SECRET_FILE", value_name = "FILE")]
    pub github_webhook_secret_file: Option<PathBuf>,

    /// REST API of github.com, or of a GitHub Enterprise Server: https://HOST/api/v3
    #[arg(
        long,
        env = "WINDLASS_GITHUB_API_URL",
        default_value = "https://api.github.com",
        value_name = "URL"
    )]
    pub github_api_url: String,

    /// Least time between two writes to GitHub, in milliseconds; GitHub asks for a second
    #[arg(
        long,
        env = "WINDLASS_GITHUB_WRITE_INTERVAL",
        default_value_t = 1000,
        value_name = "MS"
    )]
    pub github_write_interval: u64,

    /// File with the token that CI announces images with (POST /events/image)
    #[arg(long, env = "WINDLASS_EVENTS_TOKEN_FILE", value_name = "FILE")]
    pub events_token_file: Option<PathBuf>,

    /// Kubeconfig of the cluster that windlass keeps its objects in; without it, the service account of its pod
    #[arg(long, env = "WINDLASS_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Namespace of windlass's own objects
    #[arg(long, env = "WINDLASS_NAMESPACE", default_value = "windlass")]
    pub namespace: String,

    /// A destination cluster, by the name that windlass.yaml uses: NAME=KUBECONFIG or NAME=KUBECONFIG#CONTEXT. Repeat
    /// for more. `local` is the cluster that windlass runs in unless it is given here
    #[arg(
        long = "cluster",
        env = "WINDLASS_CLUSTERS",
        value_delimiter = ',',
        value_name = "NAME=FILE"
    )]
    pub clusters: Vec<String>,

    /// A repository whose `windlass.yaml` steers clusters, as owner/name; repeat for more. Its applications may go to any
    /// namespace, and have nothing outside of it. All other repositories that the App sees only receive statuses
    #[arg(
        long = "config-repository",
        env = "WINDLASS_CONFIG_REPOSITORIES",
        value_delimiter = ',',
        value_name = "OWNER/NAME"
    )]
    pub config_repositories: Vec<RepoName>,

    /// File with projects: which config repositories may go to which clusters and namespaces, and have which kinds
    #[arg(long, env = "WINDLASS_PROJECTS", value_name = "FILE")]
    pub projects: Option<PathBuf>,

    /// The service account that previews act as, as namespace/name: one that can read and dry-run, and whose writes an
    /// admission policy refuses (deploy/rbac.yaml has both). Without it they act as windlass itself
    #[arg(long, env = "WINDLASS_PREVIEW_ACCOUNT", value_name = "NAMESPACE/NAME")]
    pub preview_account: Option<ServiceAccount>,

    /// Address to listen on
    #[arg(
        long,
        env = "WINDLASS_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,

    /// Address that metrics are served at, apart from what the internet may reach
    #[arg(
        long,
        env = "WINDLASS_METRICS_LISTEN",
        default_value = "0.0.0.0:9090",
        value_name = "ADDRESS"
    )]
    pub metrics_listen: SocketAddr,

    /// Folder for mirrors of config repositories; it may be lost at any time
    #[arg(
        long,
        env = "WINDLASS_CACHE",
        default_value = "/var/cache/windlass",
        value_name = "FOLDER"
    )]
    pub cache: PathBuf,

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

    /// File with credentials of image registries, as `docker login` writes it: for telling whether a running digest is one
    /// that an announced index lists. Public images need none
    #[arg(long, env = "WINDLASS_REGISTRY_AUTH_FILE", value_name = "FILE")]
    pub registry_auth_file: Option<PathBuf>,

    /// The socket of `windlass render` in a container of its own, without token, secrets and network: it renders in the
    /// place of children of this process. For kernels that have no Landlock
    #[arg(long, env = "WINDLASS_RENDERER", value_name = "FILE")]
    pub renderer: Option<PathBuf>,

    /// Render pull requests though this kernel cannot jail the renderers (it has no Landlock): only where everybody who
    /// may open one is trusted with what windlass may do
    #[arg(long, env = "WINDLASS_RENDER_WITHOUT_JAIL")]
    pub render_without_jail: bool,

    /// Who we are in the Lease; the same name resumes at once after a restart
    #[arg(long, env = "WINDLASS_IDENTITY", value_name = "NAME")]
    pub identity: Option<String>,

    /// Seconds between two looks at everything, for what no event told
    #[arg(
        long,
        env = "WINDLASS_RESYNC",
        default_value_t = 600,
        value_name = "SECONDS"
    )]
    pub resync: u64,

    /// Seconds between two scans of GitHub's delivery log for webhooks that did not arrive
    #[arg(
        long,
        env = "WINDLASS_DELIVERY_SCAN",
        default_value_t = 300,
        value_name = "SECONDS"
    )]
    pub delivery_scan: u64,

    /// What is logged: a level, or directives such as info,windlass=debug
    #[arg(
        long,
        env = "WINDLASS_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    pub log: String,

    /// How log lines look
    #[arg(long, env = "WINDLASS_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// Settings that can be used.
pub struct Settings {
    pub credentials: AppCredentials,
    /// Secret values are compared by a key that only this installation has: made from the App's private key.
    pub mask: Mask,
    pub seal: Seal,
    pub api_url: String,
    pub write_interval: Duration,
    pub webhook_secrets: Vec<SecretString>,
    pub events_token: SecretString,
    pub kubeconfig: Option<PathBuf>,
    pub namespace: String,
    pub projects: Projects,
    pub preview_account: Option<ServiceAccount>,
    /// Name → kubeconfig and context.
    pub clusters: BTreeMap<String, (PathBuf, Option<String>)>,
    pub listen: SocketAddr,
    pub metrics_listen: SocketAddr,
    pub cache: PathBuf,
    pub kustomize: PathBuf,
    pub helm: Option<PathBuf>,
    pub registry_auth: Option<PathBuf>,
    pub renderer: Option<PathBuf>,
    pub render_without_jail: bool,
    pub identity: String,
    pub resync: Duration,
    pub delivery_scan: Duration,
}

impl ServeArgs {
    /// Checks everything that can be checked without a network; all that is wrong is told at once.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let mut missing = Vec::new();
        let mut need = |given: bool, flag: &str, variable: &str, whence: &str| {
            if !given {
                missing.push(format!("  --{flag} ({variable}): {whence}"));
            }
        };
        need(
            self.github_app_id.is_some(),
            "github-app-id",
            "WINDLASS_GITHUB_APP_ID",
            "\"App ID\" on the App's settings page",
        );
        need(
            self.github_private_key_file.is_some(),
            "github-private-key-file",
            "WINDLASS_GITHUB_PRIVATE_KEY_FILE",
            "\"Generate a private key\" on the App's settings page",
        );
        need(
            self.github_webhook_secret_file.is_some(),
            "github-webhook-secret-file",
            "WINDLASS_GITHUB_WEBHOOK_SECRET_FILE",
            "a file with the webhook secret that the App was registered with",
        );
        need(
            self.events_token_file.is_some(),
            "events-token-file",
            "WINDLASS_EVENTS_TOKEN_FILE",
            "a file with a random token that CI sends, e.g. from `openssl rand -hex 32`",
        );
        need(
            !self.config_repositories.is_empty() || self.projects.is_some(),
            "config-repository",
            "WINDLASS_CONFIG_REPOSITORIES",
            "the repository that has windlass.yaml, as owner/name; with several teams, --projects",
        );
        let (true, Some(app_id), Some(key), Some(secret), Some(token)) = (
            missing.is_empty(),
            self.github_app_id,
            &self.github_private_key_file,
            &self.github_webhook_secret_file,
            &self.events_token_file,
        ) else {
            bail!(
                "windlass cannot start without:\n{}\nREADME.md, \"Run it for real\", leads through them",
                missing.join("\n")
            );
        };
        let pem = std::fs::read(key)
            .with_context(|| format!("cannot read the App's private key {}", key.display()))?;
        Ok(Settings {
            credentials: AppCredentials::new(app_id, &pem)
                .with_context(|| format!("{}", key.display()))?,
            mask: Mask::new(&pem),
            seal: Seal::new(&pem),
            api_url: api_url(&self.github_api_url)?,
            write_interval: Duration::from_millis(self.github_write_interval),
            webhook_secrets: secrets(secret)?,
            events_token: secrets(token)?.remove(0),
            kubeconfig: self.kubeconfig.clone(),
            projects: self.projects()?,
            preview_account: self.preview_account.clone(),
            namespace: self.namespace.clone(),
            clusters: self
                .clusters
                .iter()
                .filter(|text| !text.is_empty())
                .map(|text| cluster(text))
                .collect::<anyhow::Result<_>>()?,
            listen: self.listen,
            metrics_listen: self.metrics_listen,
            cache: self.cache.clone(),
            // What renders elsewhere need not be here.
            kustomize: if self.renderer.is_some() {
                self.kustomize.clone()
            } else {
                program("kustomize", &self.kustomize)?
            },
            helm: match &self.helm {
                Some(helm) if self.renderer.is_none() => Some(program("helm", helm)?),
                other => other.clone(),
            },
            registry_auth: self.registry_auth_file.clone(),
            renderer: self.renderer.clone(),
            render_without_jail: self.render_without_jail,
            identity: match &self.identity {
                Some(identity) => identity.clone(),
                None => std::env::var("HOSTNAME")
                    .or_else(|_| std::fs::read_to_string("/etc/hostname"))
                    .unwrap_or_else(|_| "windlass".into())
                    .trim()
                    .into(),
            },
            resync: Duration::from_secs(self.resync.max(1)),
            delivery_scan: Duration::from_secs(self.delivery_scan.max(1)),
        })
    }

    /// The projects of the settings, which must not meet.
    fn projects(&self) -> anyhow::Result<Projects> {
        let projects = Projects::new(
            projects(self.projects.as_deref(), &self.config_repositories)?,
            &self.namespace,
        );
        if let Some((one, other)) = projects.overlap() {
            bail!(
                "the projects `{}` and `{}` of different repositories may go to the same namespaces, and each would have what is the other's: give them `namespaces` that do not meet, or make them one project",
                one.name,
                other.name
            );
        }
        Ok(projects)
    }
}

/// The projects of a file; config repositories that none of them names have one of their own.
pub fn projects(
    file: Option<&Path>,
    config_repositories: &[RepoName],
) -> anyhow::Result<Vec<Project>> {
    let mut projects = match file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read the projects {}", file.display()))?;
            Project::parse_all(&text).with_context(|| format!("--projects: {}", file.display()))?
        }
        None => Vec::new(),
    };
    let named: Vec<_> = projects
        .iter()
        .flat_map(|project| project.repositories.clone())
        .collect();
    let others: Vec<_> = config_repositories
        .iter()
        .filter(|repo| !named.contains(repo))
        .cloned()
        .collect();
    if !others.is_empty() {
        projects.push(Project::of_one_team(others));
    }
    Ok(projects)
}

/// https, except on loopback.
fn api_url(text: &str) -> anyhow::Result<String> {
    let url: reqwest::Url = text
        .parse()
        .with_context(|| format!("--github-api-url: `{text}` is not a URL"))?;
    let loopback = url
        .host_str()
        .is_some_and(|host| host == "localhost" || host == "127.0.0.1" || host == "[::1]");
    if url.scheme() != "https" && !loopback {
        bail!(
            "--github-api-url: `{text}` is not https: the App's tokens would travel in the clear"
        );
    }
    Ok(text.trim_end_matches('/').into())
}

/// One secret a line; none may be empty.
fn secrets(file: &PathBuf) -> anyhow::Result<Vec<SecretString>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let secrets: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(SecretString::from)
        .collect();
    if secrets.is_empty() {
        bail!(
            "{} is empty: an empty secret would let anybody in",
            file.display()
        );
    }
    Ok(secrets)
}

fn cluster(text: &str) -> anyhow::Result<(String, (PathBuf, Option<String>))> {
    let (name, place) = text
        .split_once('=')
        .with_context(|| format!("--cluster: `{text}` is not NAME=KUBECONFIG"))?;
    let (file, context) = match place.split_once('#') {
        Some((file, context)) => (file, Some(context.to_string())),
        None => (place, None),
    };
    Ok((name.into(), (file.into(), context)))
}

/// A program by path or name; found now rather than at the first pull request.
pub fn program(option: &str, name: &PathBuf) -> anyhow::Result<PathBuf> {
    if name.components().count() > 1 {
        return if name.is_file() {
            Ok(name.clone())
        } else {
            bail!("--{option}: {} is not there", name.display())
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "`{}` is not on the PATH: install it, or name it with --{option}",
            name.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_do_not_travel_in_the_clear() {
        for good in [
            "https://api.github.com",
            "https://git.corp/api/v3/",
            "http://127.0.0.1:8000/api/v3",
        ] {
            assert!(api_url(good).is_ok(), "{good}");
        }
        for bad in ["http://git.corp/api/v3", "git.corp", ""] {
            assert!(api_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_secret_lets_nobody_in() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for text in ["", "\n", "  \n\n"] {
            std::fs::write(file.path(), text).unwrap();
            let error = secrets(&file.path().to_path_buf()).unwrap_err();
            assert!(
                error.to_string().contains("would let anybody in"),
                "{error}"
            );
        }
    }

    #[test]
    fn clusters_are_named() {
        assert_eq!(
            cluster("eu=/k#prod").unwrap(),
            ("eu".into(), ("/k".into(), Some("prod".into())))
        );
        assert!(cluster("eu").is_err());
    }
}
