//! Objects that SOPS encrypted, and that the project's keys do not open.

use super::{AppScope, Prediction, Request};
use crate::domain::Live;
use crate::domain::plan::{Confidence, Side};
use crate::domain::sops::has_encrypted_files;
use crate::view;

/// Refuses an encrypted object by itself, before the server names a field of SOPS. A reconciler of
/// the stage may decrypt it: what it makes of it is not known.
pub(super) fn encrypted(scope: &AppScope<'_>, request: &Request) -> Option<Prediction> {
    if !request.manifest.is_encrypted() && !has_encrypted_files(&request.manifest) {
        return None;
    }
    let mut request = request.clone();
    if scope.applies() {
        let opened = scope.keys.decrypt(&mut request.manifest.clone());
        return opened
            .err()
            .map(|why| request.refused_unseen(view::encrypted(&why)));
    }
    request.notes.unverified = Some("it is encrypted with SOPS: its values are not known".into());
    let mut object = request.manifest.value.clone();
    object.as_object_mut().map(|object| object.remove("sops"));
    let after = request.live.clone().unwrap_or_else(|| Live::new(object));
    Some(request.predicts(Side::Object(after, Confidence::Static)))
}
