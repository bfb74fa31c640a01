//! What `windlass doctor` finds: facts about an installation, each with what it means.

use super::RepoName;

/// Whether somebody has to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Good,
    /// It works, and not as well as it could.
    Advice,
    Bad,
}

/// One fact about an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// GitHub does not answer the App.
    GitHubAway {
        why: String,
    },
    App {
        login: String,
    },
    /// This machine's clock is ahead of GitHub's by so many seconds; less than zero: behind it.
    ClockDiffers {
        seconds: i64,
    },
    /// Permissions that the App's manifest has and the App does not, such as `checks: write`.
    MissingPermissions(Vec<String>),
    MissingEvents(Vec<String>),
    /// No webhook secret is given: GitHub is polled.
    NoWebhook,
    /// Webhook deliveries that failed in the last hours.
    FailedDeliveries {
        count: usize,
        hours: i64,
    },
    Deliveries,
    /// A config repository of the settings that the App is not installed on.
    NotInstalled {
        repo: RepoName,
    },
    NotRead {
        repo: RepoName,
        why: String,
    },
    NoConfiguration {
        repo: RepoName,
    },
    InvalidConfiguration {
        repo: RepoName,
        why: String,
    },
    Configuration {
        repo: RepoName,
        applications: usize,
    },
    /// The branch's rules do not require `windlass/gate`.
    GateNotRequired {
        repo: RepoName,
        branch: String,
    },
    GateRequired {
        repo: RepoName,
        branch: String,
    },
    RulesNotRead {
        repo: RepoName,
        why: String,
    },
    /// A stage names a cluster that the settings do not have.
    UnknownCluster {
        cluster: String,
        application: String,
    },
    ClusterAway {
        cluster: String,
        why: String,
    },
    Cluster {
        cluster: String,
    },
    /// The custom resource definitions are missing where windlass runs.
    NoDefinitions,
    /// windlass may not apply a resource in a namespace.
    LacksRight {
        cluster: String,
        namespace: String,
        resource: String,
    },
    /// An admission webhook refuses dry-runs of a resource in a namespace.
    RefusesDryRuns {
        cluster: String,
        namespace: String,
        resource: String,
        why: String,
    },
    /// An admission webhook that a resource in a namespace needs does not answer.
    WebhookAway {
        cluster: String,
        namespace: String,
        resource: String,
        why: String,
    },
    Rights {
        cluster: String,
        namespaces: usize,
    },
    /// Renderers are not jailed, or do not run.
    NoRenderer {
        why: String,
    },
    Renderer,
    /// They are not jailed here: by the settings, or since they run elsewhere.
    Unjailed,
}

impl Finding {
    pub fn severity(&self) -> Severity {
        match self {
            Self::App { .. }
            | Self::Deliveries
            | Self::Configuration { .. }
            | Self::GateRequired { .. }
            | Self::Cluster { .. }
            | Self::Rights { .. }
            | Self::Renderer => Severity::Good,
            Self::NoWebhook
            | Self::FailedDeliveries { .. }
            | Self::NoConfiguration { .. }
            | Self::RulesNotRead { .. }
            | Self::RefusesDryRuns { .. }
            | Self::Unjailed
            | Self::GateNotRequired { .. } => Severity::Advice,
            _ => Severity::Bad,
        }
    }
}
