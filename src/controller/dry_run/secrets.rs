//! Secrets that others made: the server's answers must not reveal their content.

use super::{AppScope, ClusterResult, Prediction, Request};
use crate::domain::ownership::{self, Conflict};

const IMMUTABLE_SECRET: &str = "a Secret of this name exists, is immutable, and was not made by this application: delete it, or give this one another name";

/// Reads the whole Secret: only its managed fields say who owns its data.
pub(super) async fn with_whole_live(
    scope: &AppScope<'_>,
    request: Request,
) -> ClusterResult<Request> {
    match request.manifest.key.is_core("Secret") {
        true => request.with_whole_live(scope).await,
        false => Ok(request),
    }
}

/// Refuses an immutable Secret of others without a dry-run: the server's answer would reveal
/// whether its data is what Git has.
pub(super) fn immutable(scope: &AppScope<'_>, request: &Request) -> Option<Prediction> {
    let live = request.live.as_ref()?;
    let is_theirs = !live.is_owned_by(scope.owner)
        && !ownership::managed_by(live)
            .is_some_and(|manager| scope.is_managed_by_its_reconciler(&manager));
    let refused = request.manifest.key.is_core("Secret") && is_theirs && live["immutable"] == true;
    refused.then(|| request.clone().refused_unseen(IMMUTABLE_SECRET))
}

/// The conflicts about a Secret's data; the server would only report them where the data differs.
pub(super) fn claims(scope: &AppScope<'_>, request: &Request) -> Vec<Conflict> {
    match &request.live {
        Some(live) if request.manifest.key.is_core("Secret") && scope.applies() => {
            ownership::claims_on_data(
                live,
                &request.write.payload,
                &scope.manager_of(&request.manifest),
            )
        }
        _ => Vec::new(),
    }
}
