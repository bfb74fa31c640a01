//! `/accept-unseen`: an approver accepts what the preview does not show. The gate reads the command from the thread; here
//! it is only answered.

use super::Invocation;
use crate::domain::command::Answer;

pub fn run(invocation: &Invocation<'_>) -> Answer {
    let author = invocation.comment.author.clone();
    match &invocation.observation.shown_preview {
        Some(preview) if preview.text.unseen > 0 => {
            match invocation.observation.unseen_refusal(&author) {
                None => Answer::Accepted {
                    author,
                    head: invocation.observation.snapshot.pull.head.sha.clone(),
                },
                Some(why) => Answer::NotAccepted(why),
            }
        }
        _ => Answer::NothingUnseen,
    }
}
