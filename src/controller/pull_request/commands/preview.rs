//! `/preview`: the cluster was asked again before this is answered.

use super::Given;
use crate::domain::command::Answer;

pub fn run(given: &Given<'_>) -> Answer {
    match &given.look.shown {
        Some(shown) => Answer::Previewed {
            head: given.look.snapshot.pull.head.sha.clone(),
            title: shown.text.title.clone(),
        },
        None => Answer::NothingToPreview,
    }
}
