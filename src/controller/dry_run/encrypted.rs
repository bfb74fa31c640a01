//! Objects that SOPS encrypted. windlass does not decrypt.

use super::{AppScope, Prediction, Request};
use crate::domain::plan::{Confidence, Side};

const ENCRYPTED: &str = "it is encrypted with SOPS, which windlass does not decrypt: commit an object that a controller in the cluster turns into it (such as an ExternalSecret or a SealedSecret), or leave the stage to one that decrypts (`reconcile:` in windlass.yaml)";

/// Refuses an encrypted object by itself, before the server names a field of SOPS. A reconciler of
/// the stage may decrypt it: what it makes of it is not known.
pub(super) fn encrypted(scope: &AppScope<'_>, request: &Request) -> Option<Prediction> {
    if !request.manifest.is_encrypted() {
        return None;
    }
    let mut request = request.clone();
    if scope.applies() {
        return Some(request.refused_unseen(ENCRYPTED));
    }
    request.notes.unverified = Some("it is encrypted with SOPS: its values are not known".into());
    let mut object = request.manifest.value.clone();
    object.as_object_mut().map(|object| object.remove("sops"));
    let after = request.live.clone().unwrap_or(object);
    Some(request.predicts(Side::Object(after, Confidence::Static)))
}
