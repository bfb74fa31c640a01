//! `/accept-unseen`: somebody who may approve takes in what the preview does not show. The gate reads it from the thread;
//! here it is only answered.

use super::Given;
use crate::domain::command::Answer;

pub fn run(given: &Given<'_>) -> Answer {
    let author = given.ask.author.clone();
    match &given.look.shown {
        Some(shown) if shown.text.unseen > 0 => match given.look.unseen_refusal(&author) {
            None => Answer::Accepted {
                author,
                head: given.look.snapshot.pull.head.sha.clone(),
            },
            Some(why) => Answer::NotAccepted(why),
        },
        _ => Answer::NothingUnseen,
    }
}
