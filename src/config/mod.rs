//! Server settings: as given by flags and environment, then checked into a form
//! that can be used. What is missing is named together with where to get it.
//!
//! - [`flags`]: as they are given
//! - [`values`]: single values, checked
//! - here: the settings as a whole

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::SecretString;

use crate::cluster::Access;
use crate::domain::RepoName;
use crate::domain::catalog::{Fleet, LOCAL};
use crate::domain::fence::{Project, Projects, ServiceAccount};
use crate::domain::mask::Mask;
use crate::domain::seal::Seal;
use crate::domain::sops::{Keys, ProjectKeys};
use crate::github::AppCredentials;
use crate::notifications::Channels;
use crate::outgoing::{Outgoing, secure_url};

mod flags;
mod values;

pub use flags::ServeArgs;
use values::{api_url, cluster, secrets};
pub use values::{fleet, kustomize, optional, program, web_host};

/// Settings that can be used.
pub struct Settings {
    pub credentials: AppCredentials,
    /// Secret values are compared by a key that only this installation has: made from the App's
    /// private key.
    pub mask: Mask,
    pub seal: Seal,
    pub api_url: String,
    pub write_interval: Duration,
    /// Pull requests are previewed, and nothing else is done.
    pub preview_only: bool,
    /// None: no webhooks are taken.
    pub webhook_secrets: Vec<SecretString>,
    /// None: no image events are taken.
    pub events_token: Option<SecretString>,
    /// Whom GitHub's tokens of CI have to be for; None: none are taken.
    pub events_audience: Option<String>,
    /// Who signs them, if not the GitHub of the API.
    pub events_issuer: Option<String>,
    /// Where people sign in to the page. None: it is served to people inside alone.
    pub page: Option<PageSettings>,
    pub kubeconfig: Option<PathBuf>,
    pub namespace: String,
    pub projects: Projects,
    pub keys: ProjectKeys,
    pub preview_account: Option<ServiceAccount>,
    /// The clusters beside the one that windlass runs in, by name.
    pub clusters: BTreeMap<String, Access>,
    /// Whether Secrets may register more, and which programs they may run for credentials.
    pub cluster_secrets: bool,
    pub exec_plugins: Vec<String>,
    /// They and `local`, with their labels.
    pub fleet: Fleet,
    pub listen: SocketAddr,
    pub metrics_listen: SocketAddr,
    pub cache: PathBuf,
    pub kustomize: PathBuf,
    pub helm: Option<PathBuf>,
    pub warm_renderer: Option<PathBuf>,
    pub registry_auth: Option<PathBuf>,
    /// The file of what may be fetched for renderings.
    pub sources: Option<PathBuf>,
    /// None: nobody is notified.
    pub notifications: Option<Channels>,
    pub outgoing: Outgoing,
    pub renderer: Option<PathBuf>,
    pub render_without_jail: bool,
    pub identity: String,
    pub resync: Duration,
    pub delivery_scan: Duration,
    pub fetch_depth: NonZeroU32,
}

/// The page for people who sign in.
pub struct PageSettings {
    /// Without a slash at its end.
    pub address: String,
    pub client_secret: SecretString,
}

impl Settings {
    /// How the cluster that windlass runs in is reached.
    pub fn home(&self) -> Access {
        match &self.kubeconfig {
            Some(file) => Access::File(file.clone(), None),
            None => Access::OwnPod,
        }
    }
}

/// What windlass cannot start without.
struct Required<'a> {
    app_id: u64,
    private_key: &'a PathBuf,
    /// Not with `--preview-only`.
    webhook_secret: Option<&'a PathBuf>,
    events_token: Option<&'a PathBuf>,
}

impl ServeArgs {
    fn channels(&self) -> anyhow::Result<Option<Channels>> {
        let file = self.notifications.as_deref();
        file.map(Channels::read).transpose()
    }

    /// Checks everything that can be checked without a network; all that is wrong is told at once.
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let given = self.required()?;
        let pem = std::fs::read(given.private_key).with_context(|| {
            format!(
                "cannot read the App's private key {}",
                given.private_key.display()
            )
        })?;
        let projects = self.projects()?;
        Ok(Settings {
            keys: keys(&projects)?,
            credentials: AppCredentials::new(given.app_id, &pem)
                .with_context(|| format!("{}", given.private_key.display()))?,
            mask: Mask::new(&pem),
            seal: Seal::new(&pem),
            api_url: api_url(&self.github_api_url)?,
            write_interval: Duration::from_millis(self.github_write_interval),
            preview_only: self.preview_only,
            webhook_secrets: match given.webhook_secret {
                Some(file) => secrets(file)?,
                None => Vec::new(),
            },
            events_token: match given.events_token {
                Some(file) => Some(secrets(file)?.remove(0)),
                None => None,
            },
            events_audience: self.audience(),
            events_issuer: self.events_issuer.clone(),
            page: self.page()?,
            kubeconfig: self.kubeconfig.clone(),
            projects,
            preview_account: self.preview_account.clone(),
            namespace: self.namespace.clone(),
            fleet: self.fleet()?,
            clusters: self.clusters()?,
            cluster_secrets: self.cluster_secrets,
            exec_plugins: self.exec_plugins.clone(),
            listen: self.listen,
            metrics_listen: self.metrics_listen,
            cache: self.cache.clone(),
            kustomize: match self.renders_here() {
                true => program("kustomize", &self.kustomize)?,
                false => self.kustomize.clone(),
            },
            helm: self.renderer_program("helm", self.helm.as_ref())?,
            warm_renderer: self.renderer_program("warm-renderer", self.warm_renderer.as_ref())?,
            registry_auth: self.registry_auth_file.clone(),
            sources: self.sources.clone(),
            notifications: self.channels()?,
            outgoing: Outgoing::new(self.ca_file.as_deref())?,
            renderer: self.renderer.clone(),
            render_without_jail: self.render_without_jail,
            identity: self.identity(),
            resync: Duration::from_secs(self.resync.max(1)),
            delivery_scan: Duration::from_secs(self.delivery_scan.max(1)),
            fetch_depth: self.fetch_depth,
        })
    }

    /// What renders elsewhere need not be here.
    fn renders_here(&self) -> bool {
        self.renderer.is_none()
    }

    fn renderer_program(
        &self,
        option: &str,
        name: Option<&PathBuf>,
    ) -> anyhow::Result<Option<PathBuf>> {
        match self.renders_here() {
            true => optional(option, name),
            false => Ok(name.cloned()),
        }
    }

    fn page(&self) -> anyhow::Result<Option<PageSettings>> {
        let url = self.page_url.as_deref().filter(|text| !text.is_empty());
        let file = self.page_client_secret_file.as_ref();
        let (url, file) = match (url, file) {
            (None, None) => return Ok(None),
            (Some(url), Some(file)) => (url, file),
            (Some(_), None) => bail!(
                "--page-url needs --page-client-secret-file: a client secret that the App's settings page on GitHub makes"
            ),
            (None, Some(_)) => bail!(
                "--page-client-secret-file needs --page-url: the address at which people open the page"
            ),
        };
        let parsed = secure_url("--page-url", url, "sessions")?;
        if parsed.path() != "/" || parsed.query().is_some() {
            bail!("--page-url: `{url}` has a path, and the page stands at the root of its address");
        }
        Ok(Some(PageSettings {
            address: parsed.origin().ascii_serialization(),
            client_secret: secrets(file)?.remove(0),
        }))
    }

    /// Whom GitHub's tokens of CI have to be for.
    fn audience(&self) -> Option<String> {
        let given = self.events_audience.as_ref().filter(|_| !self.preview_only);
        let given = given.map(|text| text.trim_end_matches('/').to_string());
        given.filter(|text| !text.is_empty())
    }

    fn clusters(&self) -> anyhow::Result<BTreeMap<String, Access>> {
        let given = self.clusters.iter().filter(|text| !text.is_empty());
        given.map(|text| cluster(text)).collect()
    }

    /// The clusters and `local`, with their labels.
    fn fleet(&self) -> anyhow::Result<Fleet> {
        let mut fleet = fleet(&self.cluster_labels)?;
        let names = self.clusters()?.into_keys().chain([LOCAL.into()]);
        let known: BTreeSet<String> = names.collect();
        if let Some(unknown) = fleet.0.keys().find(|name| !known.contains(*name)) {
            bail!("--cluster-label: there is no --cluster `{unknown}`");
        }
        for name in known {
            fleet.0.entry(name).or_default();
        }
        Ok(fleet)
    }

    fn required(&self) -> anyhow::Result<Required<'_>> {
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
            self.github_webhook_secret_file.is_some() || self.preview_only,
            "github-webhook-secret-file",
            "WINDLASS_GITHUB_WEBHOOK_SECRET_FILE",
            "a file with the webhook secret that the App was registered with",
        );
        need(
            self.events_token_file.is_some() || self.audience().is_some() || self.preview_only,
            "events-token-file",
            "WINDLASS_EVENTS_TOKEN_FILE",
            "a file with a random token that CI sends, e.g. from `openssl rand -hex 32`; or --events-audience, if all of CI is on GitHub",
        );
        need(
            !self.config_repositories.is_empty() || self.projects.is_some(),
            "config-repository",
            "WINDLASS_CONFIG_REPOSITORIES",
            "the repository that has windlass.yaml, as owner/name; with several teams, --projects",
        );
        let (true, Some(app_id), Some(private_key)) = (
            missing.is_empty(),
            self.github_app_id,
            &self.github_private_key_file,
        ) else {
            bail!(
                "windlass cannot start without:\n{}\n`windlass setup` makes the App's; docs/operations.md, \"The App by hand\", says where each is from",
                missing.join("\n")
            );
        };
        Ok(Required {
            app_id,
            private_key,
            webhook_secret: self.github_webhook_secret_file.as_ref(),
            events_token: self
                .events_token_file
                .as_ref()
                .filter(|_| !self.preview_only),
        })
    }

    /// Who we are in the Lease: as given, or the name of this host.
    fn identity(&self) -> String {
        match &self.identity {
            Some(identity) => identity.clone(),
            None => std::env::var("HOSTNAME")
                .or_else(|_| std::fs::read_to_string("/etc/hostname"))
                .unwrap_or_else(|_| "windlass".into())
                .trim()
                .into(),
        }
    }

    /// The projects of the settings, which must not meet.
    fn projects(&self) -> anyhow::Result<Projects> {
        let projects = Projects::new(
            projects(
                self.projects.as_deref(),
                &self.config_repositories,
                self.sops_age_key_file.as_deref(),
            )?,
            &self.namespace,
        );
        if let Some((one, other)) = projects.overlap() {
            bail!(
                "the projects `{}` and `{}` belong to different repositories but share namespaces, so each could change the other's objects: give them `namespaces` that do not overlap, or make them one project",
                one.name,
                other.name
            );
        }
        Ok(projects)
    }
}

/// The age keys that the projects' files have.
fn keys(projects: &Projects) -> anyhow::Result<ProjectKeys> {
    let mut keys = ProjectKeys::default();
    for project in projects.projects() {
        if let Some(file) = &project.age_keys {
            keys.of.insert(project.name.clone(), age_keys(file)?);
        }
    }
    Ok(keys)
}

/// The age keys of a file.
pub fn age_keys(file: &Path) -> anyhow::Result<Keys> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the age keys {}", file.display()))?;
    Keys::parse(&text).with_context(|| file.display().to_string())
}

/// The projects of a file; config repositories that none of them names have one of their own, with
/// these age keys.
pub fn projects(
    file: Option<&Path>,
    config_repositories: &[RepoName],
    age_keys: Option<&Path>,
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
    match (others.is_empty(), age_keys) {
        (true, Some(_)) => bail!(
            "--sops-age-key-file is for repositories of --config-repository, and the projects name all of them: write `sops: {{ ageKeyFile: FILE }}` into a project"
        ),
        (true, None) => {}
        (false, age_keys) => projects.push(Project {
            age_keys: age_keys.map(Path::to_path_buf),
            ..Project::of_one_team(others)
        }),
    }
    Ok(projects)
}
