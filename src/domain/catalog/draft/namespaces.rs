//! The namespace of an entry, in terms of its placeholders.

use super::super::rule::name_of;
use super::place::Placed;
use crate::domain::Name;

/// The namespace that fits most of a group, in terms of its placeholders. None: no file names one.
pub(super) fn namespace(group: &[&Placed]) -> Option<String> {
    let mut forms: Vec<_> = group.iter().flat_map(|placed| forms(placed)).collect();
    let placeholders = |form: &Option<String>| form.as_ref().map(|form| form.matches('{').count());
    forms.sort_by_key(placeholders);
    let count = |form: &Option<String>| group.iter().filter(|placed| fits(placed, form)).count();
    // The one with the most placeholders of those that fit as many.
    forms.into_iter().max_by_key(count).flatten()
}

/// The namespace of a place, with and without placeholders for its application and its stage.
fn forms(placed: &Placed) -> Vec<Option<String>> {
    let Some(namespace) = &placed.root.namespace else {
        return vec![None];
    };
    let application = placed.application().and_then(|name| name_of(name).ok());
    let parts = [
        ("{application}", application),
        ("{stage}", placed.stage.clone()),
    ];
    let mut forms = vec![namespace.clone()];
    for (placeholder, value) in parts {
        let Some(value) = value else { continue };
        let filled = |form: &String| form.replacen(value.as_str(), placeholder, 1);
        forms.extend(forms.iter().map(filled).collect::<Vec<_>>());
    }
    forms.into_iter().map(Some).collect()
}

/// Whether a form gives the namespace of a place.
pub(super) fn fits(placed: &Placed, form: &Option<String>) -> bool {
    let application = placed.application().and_then(|name| name_of(name).ok());
    let application = application.map(|name| name.to_string());
    let stage = placed.stage.as_ref().map(Name::to_string);
    let filled = form.as_ref().map(|form| {
        form.replace("{application}", &application.unwrap_or_default())
            .replace("{stage}", &stage.unwrap_or_default())
    });
    placed.root.namespace == filled
}
