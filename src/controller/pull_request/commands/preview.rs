//! `/preview`: the preview was made again before this answer.

use super::Invocation;
use crate::domain::command::Answer;

pub fn run(invocation: &Invocation<'_>) -> Answer {
    match &invocation.observation.shown_preview {
        Some(preview) => Answer::Previewed {
            head: invocation.observation.snapshot.pull.head.sha.clone(),
            title: preview.text.title.clone(),
        },
        None => Answer::NothingToPreview,
    }
}
