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
        Waits::OldObject => format!(
            "{object} is not what Git declares yet: it changes when its own application is synced"
        ),
    }
}

/// Why a request to their object was not made.
pub fn refused_request(object: &str, why: &Refusal) -> String {
    match why {
        Refusal::Forbidden(message) => format!(
            "windlass may not request a sync of {object}: {}. Bind the ClusterRole `windlass-requests` to its service account, or sync it there",
            quoted(message)
        ),
        Refusal::Suspended => {
            format!("{object}, or its source, is suspended: `flux resume` starts it again")
        }
        Refusal::OtherSource => format!(
            "windlass requests no sync of {object}, since its source is not this repository. Sync it there"
        ),
    }
}
