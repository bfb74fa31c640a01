//! Changes that another reconciler does not compare: it syncs nothing for them alone.

use super::compare::Compared;
use crate::domain::Live;
use crate::domain::applying::Applying;
use crate::domain::manifest::{ResourceKey, without_server_fields};
use crate::domain::plan::{Comparison, Side};

/// Whether the changes have it sync: Argo CD does not for a hook alone.
pub fn causes_sync(compared: &Compared, applying: Option<&Applying>) -> bool {
    let mut all = compared.change.iter().chain(&compared.waiting);
    !applying.is_some_and(Applying::syncs_for_differences_alone) || all.any(differs)
}

/// Takes out changes that cause no sync, if no other change of the application causes one; and what
/// that sync would set back. The objects of the changes.
pub fn take_unseen(compared: &mut Compared, applying: Option<&Applying>) -> Vec<ResourceKey> {
    let Some(applying) = applying else {
        return Vec::new();
    };
    let unseen = |one: &Comparison| match (&one.before, &one.after) {
        (Side::Object(before, _), Side::Object(after, _)) => {
            applying.ignores(&one.key, before, after)
        }
        (Side::Absent, Side::Absent) => true,
        _ => false,
    };
    let mut causes = compared.change.iter().chain(&compared.waiting);
    if !causes.all(unseen) {
        return Vec::new();
    }
    compared.drift.retain(|one| !unseen(one));
    let changed = compared.change.extract_if(.., |one| differs(one));
    changed.map(|one| one.key).collect()
}

fn differs(one: &Comparison) -> bool {
    let plain = |side: &Side| side.object().map(|live: &Live| without_server_fields(live));
    matches!(one.after, Side::Refused(_)) || plain(&one.before) != plain(&one.after)
}
