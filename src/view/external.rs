//! Why a stage that Argo CD or Flux reconciles is not synced yet.

use super::markdown::quoted;
use crate::domain::external::{Refusal, Waits};

/// Their object, as people name it: `the Application argocd/shop of Argo CD`.
pub fn reconciler_object(key: &impl std::fmt::Display, by: &str) -> String {
    format!("the {key} of {by}")
}

/// `object`: of [`reconciler_object`].
pub fn waits(object: &str, why: &Waits) -> String {
    match why {
        Waits::Missing { application } => format!(
            "{object} does not exist, but windlass.yaml says that it reconciles {application}"
        ),
        Waits::NothingApplied => format!("{object} has not synced yet"),
        Waits::At(commit) => format!("{object} is at {}", commit.short()),
        Waits::OldObject => {
            format!("{object} is not what Git declares yet: whatever applies it has to sync first")
        }
        Waits::Says(message) => format!("{object} waits: {}", quoted(message)),
        Waits::OtherSource => format!(
            "{object} has another source than this repository, so windlass does not follow it"
        ),
    }
}

/// Why a request to their object was not made.
pub fn refused_request(object: &str, why: &Refusal) -> String {
    match why {
        Refusal::Forbidden(message) => format!(
            "windlass may not request a sync of {object}: {}. Bind the ClusterRole `windlass-requests` to windlass's own service account, or sync it there",
            quoted(message)
        ),
        Refusal::NotTaken(message) => {
            format!(
                "the cluster takes no request to {object}: {}",
                quoted(message)
            )
        }
        Refusal::Shared => format!(
            "windlass requests no sync of {object}, since another stage has the same object. Sync it there"
        ),
        Refusal::Missing => format!("{object} does not exist"),
        Refusal::Suspended => {
            format!("{object}, or its source, is suspended: `flux resume` starts it again")
        }
        Refusal::OtherSource => format!(
            "windlass requests no sync of {object}, since its source is not this repository. Sync it there"
        ),
    }
}
