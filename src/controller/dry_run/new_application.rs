//! Objects of an application that only a pull request has. The preview does not reveal whether an
//! object of that name exists.

use super::new_kinds::{brings_namespace, by_its_definition, in_another_namespace};
use super::{AppScope, ClusterResult, Prediction, Request};
use crate::domain::manifest::Manifest;
use crate::domain::mask::Mask;
use crate::domain::plan::{self, Confidence, Side};

/// The dry-run of an object as if no object of its name existed.
pub(super) async fn as_if_new(
    scope: &AppScope<'_>,
    mut request: Request,
    set: &[Manifest],
) -> ClusterResult<Prediction> {
    let manifest = &request.manifest;
    if scope
        .cluster
        .kind(&manifest.key.group, &manifest.version, &manifest.key.kind)
        .await?
        .is_none()
    {
        return by_its_definition(scope, request, set).await;
    }
    let mut namespace = manifest.key.namespace.iter();
    if namespace.any(|namespace| brings_namespace(set, namespace)) {
        return in_another_namespace(scope, request, set).await;
    }
    let after = match scope
        .cluster
        .probe(&manifest.key, &manifest.version, &manifest.value)
        .await?
    {
        Ok(mut object) => {
            plan::without_allocated(&mut object, &manifest.value);
            Side::Object(object, Confidence::Server)
        }
        Err(refusal) if refusal.invalid => {
            Side::Refused(Mask::scrub(&refusal.message, &manifest.value))
        }
        Err(refusal) if refusal.no_namespace => {
            return in_another_namespace(scope, request, set).await;
        }
        Err(_) => {
            let object = manifest.as_live();
            request.notes.unverified = Some(
                "what the cluster would do with it is not known until the application is merged"
                    .into(),
            );
            Side::Object(object, Confidence::Static)
        }
    };
    Ok(request.predicts(after))
}
